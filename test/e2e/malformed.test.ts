/**
 * A document in the store that makes no sense is an event and a waiting component: never a crash
 * loop, and never an action on PostgreSQL (D-23, D-79). On real etcd, with components called by
 * Go's names; whoever writes garbage there writes bytes, so this test does.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { until } from "#test/conformance/wait.ts"
import {
  type Component,
  type GoCluster,
  clusterDataKey,
  infoKey,
  startGoCluster,
} from "./go-names.ts"
import { askOne, connect } from "./writer.ts"

/** The timeouts must be told from what is cut at once. */
const spec = {
  sleepInterval: "500ms",
  failInterval: "4s",
  requestTimeout: "5s",
  proxyCheckInterval: "500ms",
  proxyTimeout: "6s",
  mergePgParameters: false,
}
const boundMs = 90_000
let cluster: GoCluster
let good = ""
beforeAll(async () => {
  cluster = await startGoCluster(spec)
  await cluster.settled()
}, boundMs)
afterAll(async () => cluster?.[Symbol.asyncDispose](), boundMs)

const all = (): readonly Component[] => [...cluster.keepers, cluster.sentinel, cluster.proxy]

/** What must not change: every process, and when each PostgreSQL was started. */
const processes = (): readonly unknown[] => [
  ...all().map(({ pid }) => pid),
  ...cluster.keepers.map((keeper) => [keeper.postmaster(), keeper.startedAt()]),
]

/** A client's session through the proxy. */
interface Session extends AsyncDisposable {
  works(): Promise<boolean>
}
async function session(): Promise<Session> {
  const sql = connect(cluster.proxyPort)
  // the library may wait for ever on a connection that it cannot make again
  const works = async (): Promise<boolean> => {
    const late = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => late.resolve(false), 2_000)
    const answered = sql`select 1`.then(
      () => true,
      () => false,
    )
    try {
      return await Promise.race([answered, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
  expect(await works()).toBe(true)
  return { works, [Symbol.asyncDispose]: () => sql.end({ timeout: 0 }) }
}

/** What a kind of document does to clients. */
type Effect = "cut at once" | "kept until proxyTimeout"

interface Case {
  readonly name: string
  readonly value: (good: string) => string
  readonly says: RegExp
  readonly clients: Effect
}
const json =
  (change: (data: Readonly<Record<string, Record<string, unknown>>>) => unknown) =>
  (good: string): string =>
    JSON.stringify(change(JSON.parse(good)))
const unusable = /\/view\.malformed|\/store\.failed/
const unsupported = /\/view\.(malformed|invalid)|\/store\.failed/

type Row = readonly [Case["name"], Case["value"], Case["says"], Case["clients"]]
const rows: readonly Row[] = [
  ["X1 D-79 garbage", () => "\u0000\u0001 no JSON at all", unusable, "kept until proxyTimeout"],
  [
    "X1 D-79 a document that ends in the middle",
    (text) => text.slice(0, text.length / 2),
    unusable,
    "kept until proxyTimeout",
  ],
  ["X1 D-79 a list", () => "[]", unusable, "kept until proxyTimeout"],
  [
    "X1 D-79 formatVersion and nothing else",
    () => '{"formatVersion":1}',
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X1 D-79 G13 cluster null",
    json((data) => ({ ...data, cluster: null })),
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X1 D-79 G13 cluster.spec null",
    json((data) => ({ ...data, cluster: { ...data["cluster"], spec: null } })),
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X1 D-79 G13 dbs and keepers null",
    json((data) => ({ ...data, dbs: null, keepers: null })),
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X1 D-23 proxy null",
    json((data) => ({ ...data, proxy: null })),
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X1 D-79 a port that is a number",
    (text) => text.replace(/"port":"(\d+)"/, '"port":$1'),
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X1 a hundred thousand levels",
    () => `{"formatVersion":1,"x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    unusable,
    "kept until proxyTimeout",
  ],
  [
    "X4 G4 formatVersion 2",
    json((data) => ({ ...data, formatVersion: 2 })),
    unsupported,
    "cut at once",
  ],
  [
    "X4 an invalid specification",
    json((data) => ({
      ...data,
      cluster: {
        ...data["cluster"],
        spec: { ...Object(data["cluster"]?.["spec"]), proxyTimeout: "1ms" },
      },
    })),
    unsupported,
    "cut at once",
  ],
  ["X3 T17 G10 null", () => "null", /\/view\.absent/, "cut at once"],
]

for (const [name, value, says, clients] of rows)
  test(
    `${name}: everybody says so, waits, and PostgreSQL is left alone`,
    () => explained(() => play(value, says, clients)),
    boundMs,
  )

async function explained(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    console.error(cluster.logs())
    throw error
  }
}

async function play(value: (good: string) => string, says: RegExp, clients: Effect): Promise<void> {
  await cluster.settled()
  const before = processes()
  await using client = await session()
  for (const one of all()) one.mark()
  good = await cluster.text()
  const bad = value(good)
  expect(bad).not.toBe(good)
  try {
    await overwrite(bad)
    const start = performance.now()
    for (const one of all()) await one.says(says, 4_000)
    const seen = performance.now() - start
    if (clients === "kept until proxyTimeout" && seen < 4_000)
      expect(await client.works()).toBe(true)
    else await until("the client to be cut", async () => !(await client.works()), 3_000)
    // a leader must not write over what it cannot read
    expect(await cluster.text()).toBe(bad)
  } finally {
    await cluster.put(clusterDataKey, ailing(good))
  }
  await until("clients to get through", () => askOne(cluster.proxyPort, "select 1"), 15_000)
  await goesOn()
  expect(processes()).toEqual(before)
}

/** Against a leader's write that was under way. */
async function overwrite(bad: string): Promise<void> {
  await until("the document to stay", async () => {
    await cluster.put(clusterDataKey, bad)
    return (await cluster.text()) === bad
  })
}

/** The same with something that a leader corrects as soon as it can read it. */
function ailing(text: string): string {
  const { keepers, ...data } = JSON.parse(text)
  for (const uid of Object.keys(keepers)) keepers[uid].status.healthy = false
  return JSON.stringify({ ...data, keepers })
}

/** The leader leads: it corrects what it is shown. */
async function goesOn(): Promise<void> {
  const corrected = async (): Promise<boolean> =>
    [...(await cluster.data()).keepers.values()].every(({ status }) => status.healthy)
  await until("the leader to go on", corrected, 20_000)
  await cluster.settled()
}

test(
  "X1 a document that stays unreadable: clients are cut and the listener closes by proxyTimeout, T9 and opens again",
  () =>
    explained(async () => {
      await cluster.settled()
      const before = processes()
      await using client = await session()
      good = await cluster.text()
      const start = performance.now()
      try {
        await overwrite("{")
        await cluster.proxy.says(/\/proxy\.timeout/, 20_000)
        expect((performance.now() - start) / 1_000).toBeGreaterThan(4.5)
        await until("the client to be cut", async () => !(await client.works()), 3_000)
        await cluster.proxy.says(/\/proxy\.closed/, 3_000)
      } finally {
        await cluster.put(clusterDataKey, ailing(good))
      }
      await until("clients to get through", () => askOne(cluster.proxyPort, "select 1"), 10_000)
      await goesOn()
      expect(processes()).toEqual(before)
    }),
  boundMs,
)

test(
  "T17 the key may vanish and come back, and T8 stolonctl says what it finds meanwhile",
  () =>
    explained(async () => {
      const before = processes()
      good = await cluster.text()
      for (const one of all()) one.mark()
      try {
        await until("the key to be gone", async () => {
          await cluster.remove(clusterDataKey)
          return (await cluster.text()) === ""
        })
        for (const one of all()) await one.says(/\/view\.absent/, 4_000)
        expect((await cluster.ctl("clusterdata", "read")).code).not.toBe(0)
        expect((await cluster.ctl("spec")).code).not.toBe(0)
        // G10: only over an absent key would it begin anew, and here it would destroy a cluster
        expect(await cluster.text()).toBe("")
      } finally {
        await cluster.put(clusterDataKey, ailing(good))
      }
      await goesOn()
      await until("clients to get through", () => askOne(cluster.proxyPort, "select 1"), 15_000)
      expect(processes()).toEqual(before)
    }),
  boundMs,
)

test(
  "G10 a sentinel with --initial-cluster-spec leaves null alone",
  () =>
    explained(async () => {
      await using one = await startGoCluster({}, 0)
      const file = `${one.place.directory}/initial.json`
      await Bun.write(file, '{"initMode":"new"}')
      one.sentinel.signal("SIGTERM")
      await one.sentinel.ended()
      await one.put(clusterDataKey, "null")
      one.sentinel.start([`--initial-cluster-spec=${file}`])
      await one.sentinel.says(/\/view\.absent/)
      expect(await one.text()).toBe("null")
      await one.remove(clusterDataKey)
      await until("it to initialise", async () => (await one.text()).includes('"initializing"'))
    }),
  boundMs,
)

test(
  "D-79 infos that nobody can read are told and silence nobody else",
  () =>
    explained(async () => {
      await cluster.settled()
      const before = processes()
      cluster.sentinel.mark()
      const keys = [infoKey("keepers", "zz-stranger"), infoKey("proxies", "zz-stranger")]
      try {
        for (const key of keys) await cluster.put(key, '{"uid":7')
        await cluster.sentinel.says(/\/info\.malformed/)
        const text = '{"pgParameters":{"work_mem":"6MB"}}'
        expect((await cluster.ctl("update", "--patch", text)).code).toBe(0)
        for (const { port } of cluster.keepers)
          await until("it", async () => (await askOne(port, "show work_mem")) === "6MB", 20_000)
        await cluster.settled()
        expect((await cluster.ctl("status")).code).toBe(0)
      } finally {
        for (const key of keys) await cluster.remove(key)
      }
      expect(processes()).toEqual(before)
    }),
  boundMs,
)
