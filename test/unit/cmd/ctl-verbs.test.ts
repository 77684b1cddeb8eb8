/** Verbs of every day as processes on a real sqlite store: what they print, write, and refuse. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { ClusterData } from "#model/cluster.ts"
import { encodeClusterData } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { KeeperInfo } from "#model/info.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { keeper, threeKeepers } from "#test/unit/ctl/golden.ts"

let dir = ""
let database = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-verbs-"))
  await symlink(process.execPath, join(dir, "stolonctl"))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
const settings = (file: string): StoreSettings => ({
  clusterName: "t",
  backend: "sqlite",
  endpoints: [file],
  prefix: "stolon/cluster",
  timeout: millis(5000),
  tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
  user: "",
  password: "",
})
const signal = new AbortController().signal

async function withStore<T>(file: string, work: (store: Store) => Promise<T>): Promise<T> {
  await using store = await openStore(settings(file))
  return await work(store)
}
const stored = (file: string): Promise<ClusterData> =>
  withStore(file, async (store) => {
    const reading = await store.read(signal)
    if (reading.kind !== "found") throw new Error("no cluster data")
    return reading.data
  })
async function holding(data: ClusterData | null): Promise<string> {
  const file = join(dir, `store-${++database}.db`)
  if (data !== null)
    await withStore(file, (store) => store.write(data, { kind: "anything" }, null, signal))
  return file
}

interface Ran {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}
async function run(file: string, argv: readonly string[], go = false): Promise<Ran> {
  const command = go
    ? [join(dir, "stolonctl"), entry, ...argv]
    : [process.execPath, entry, "ctl", ...argv]
  await using child = Bun.spawn(command, {
    stdin: new Blob([""]),
    stdout: "pipe",
    stderr: "pipe",
    env: {
      PATH: process.env["PATH"] ?? "",
      STOLON_CLUSTER_NAME: "t",
      STOLON_STORE_BACKEND: "sqlite",
      STOLON_STORE_ENDPOINTS: file,
    },
  })
  const [stdout, stderr, exit] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { exit, stdout, stderr }
}

describe("--dry-run", () => {
  const spec = '{"initMode":"new","maxStandbys":7}'
  test.each([
    ["update", [spec], "+ cluster.spec.maxStandbys: 7\n"],
    ["update", ["--patch", '{"maxStandbys":7}'], "+ cluster.spec.maxStandbys: 7\n"],
    ["failkeeper", ["pg1"], "+ keepers.pg1.status.forceFail: true\n"],
    ["removekeeper", ["pg3"], '- keepers.pg3.uid: "pg3"\n'],
    ["failover", ["--keeper=pg2"], '+ cluster.status.failoverRequest.keeper: "pg2"\n'],
    ["pause", ["--reason=x"], '+ cluster.status.paused.reason: "x"\n'],
    ["configure", ["maxStandbys=7"], "- maxStandbys: 20 (default)\n+ maxStandbys: 7\n"],
    ["init", [spec], "+ cluster.spec.maxStandbys: 7\n"],
  ])("of %s %p shows what would be written and writes nothing", async (verb, argv, line) => {
    const file = await holding(threeKeepers())
    const ran = await run(file, [verb, ...argv, "--dry-run"])
    expect(ran.stderr).toBe("")
    expect(ran.stdout).toContain(line)
    expect(ran.exit).toBe(0)
    expect(encodeClusterData(await stored(file))).toBe(encodeClusterData(threeKeepers()))
  })
  test("refuses what the command itself would refuse", async () => {
    const file = await holding(threeKeepers())
    expect(await run(file, ["removekeeper", "pg1", "--dry-run"])).toMatchObject({ exit: 1 })
    expect(await run(file, ["promote", "--dry-run"])).toMatchObject({
      exit: 0,
      stderr: "cluster spec role already set to master\n",
    })
  })
  test("is not known under a Go name, and neither are the new verbs", async () => {
    const file = await holding(threeKeepers())
    for (const argv of [
      ["update", "--dry-run", "{}"],
      ["failkeeper", "pg1", "--yes"],
    ])
      expect((await run(file, argv, true)).stderr).toContain("unknown flag: --")
    expect((await run(file, ["init", "--cluster-spec={}"], true)).stderr).toContain(
      "unknown flag: --cluster-spec",
    )
    for (const verb of ["pause", "restart", "reclone", "reload", "configure"])
      expect((await run(file, [verb], true)).stderr).toContain(`unknown command "${verb}"`)
  })
})

test("init and update take the specification by name, and only once", async () => {
  const file = await holding(null)
  expect(
    await run(file, ["init", "--yes", '--cluster-spec={"initMode":"new","maxStandbys":7}']),
  ).toMatchObject({ exit: 0, stderr: "" })
  expect((await stored(file)).cluster.spec.maxStandbys).toBe(7)
  expect(await run(file, ["update", "--patch", '--cluster-spec={"maxStandbys":8}'])).toMatchObject({
    exit: 0,
  })
  expect((await stored(file)).cluster.spec.maxStandbys).toBe(8)
  for (const verb of ["init", "update"])
    expect(await run(file, [verb, "{}", "--cluster-spec={}", "--yes"])).toMatchObject({
      exit: 1,
      stderr: `stolon ctl ${verb}: the specification is given twice, as argument and with --cluster-spec; give it once\n`,
    })
  const both = await run(file, ["update", "--cluster-spec={}", "-f", "x"])
  expect(both.exit).toBe(2)
  expect(both.stderr).toContain("--file")
})

test("configure shows the difference, writes it, and refuses what the table does not know", async () => {
  const file = await holding(threeKeepers())
  const wrong = await run(file, ["configure", "failIntreval=3s"])
  expect(wrong).toEqual({
    exit: 2,
    stdout: "",
    stderr: "stolon ctl configure: failIntreval: no such setting; did you mean failInterval?\n",
  })
  expect(await run(file, ["configure", "failInterval=9s", "pgParameters.work_mem=8MB"])).toEqual({
    exit: 0,
    stdout: `- failInterval: "20s" (default)\n+ failInterval: "9s"\n+ pgParameters.work_mem: "8MB"\n`,
    stderr: "",
  })
  expect((await stored(file)).cluster.spec.pgParameters).toEqual(new Map([["work_mem", "8MB"]]))
  expect(await run(file, ["configure", "failInterval=9s"])).toMatchObject({
    exit: 0,
    stdout: "nothing changes\n",
  })
  const rule = await run(file, ["configure", "proxyCheckInterval=1h"])
  expect(rule.exit).toBe(1)
  expect(rule.stderr).toContain("proxyCheckInterval should be less than proxyTimeout")
})

test("pause and resume mark the cluster, and status shows it until it is over", async () => {
  const file = await holding(threeKeepers())
  const paused = await run(file, ["pause", "--reason", "kernel update"])
  expect(paused).toMatchObject({
    exit: 0,
    stdout: "the cluster is paused; to go on: stolon ctl resume\n",
  })
  expect((await stored(file)).cluster.status.paused).toMatchObject({ reason: "kernel update" })
  expect((await run(file, ["status"])).stdout).toContain("kernel update")
  const again = await run(file, ["pause"])
  expect(again.exit).toBe(0)
  expect(again.stderr).toContain("is paused by")
  expect(await run(file, ["resume"])).toMatchObject({ exit: 0, stdout: "the cluster goes on\n" })
  expect((await stored(file)).cluster.status).not.toHaveProperty("paused")
})

test("pause is refused in a cluster that a Go sentinel leads", async () => {
  const file = await holding(threeKeepers({ primaryEpoch: "" }))
  const ran = await run(file, ["pause"])
  expect(ran.exit).toBe(1)
  expect(ran.stderr).toContain("the leading sentinel does not know this request and would drop it")
})

describe("restart, reload and reclone", () => {
  const publish = (file: string, state: object): Promise<void> =>
    withStore(file, async (store) => {
      for (const uid of ["pg1", "pg2", "pg3"])
        await store.publish(
          {
            kind: "keeper",
            info: decodeJson(KeeperInfo, {
              uid,
              infoUID: "i",
              capabilities: ["wishes"],
              postgresState: {
                uid: `db${uid.slice(2)}`,
                generation: 3,
                healthy: true,
                streaming: uid !== "pg1",
                acceptsClients: true,
                ...state,
              },
            }),
          },
          millis(60_000),
          signal,
        )
    })

  test("--dry-run prints the order", async () => {
    const file = await holding(threeKeepers())
    await publish(file, {})
    expect(await run(file, ["restart", "--rolling", "--dry-run"])).toEqual({
      exit: 0,
      stdout:
        "would restart pg2 (standby)\nwould restart pg3 (standby)\nwould restart pg1 (primary)\n",
      stderr: "",
    })
    expect(await run(file, ["restart", "--pending"])).toMatchObject({
      exit: 0,
      stdout: "nothing to restart\n",
    })
    expect((await run(file, ["reload", "--dry-run"])).stdout).toBe(
      "would reload pg1\nwould reload pg2\nwould reload pg3\n",
    )
  })
  test("one way to say whom", async () => {
    const file = await holding(threeKeepers())
    for (const argv of [
      ["restart"],
      ["restart", "pg1", "--rolling"],
      ["restart", "pg1", "--pending"],
    ])
      expect(await run(file, argv)).toMatchObject({ exit: 2 })
    expect(await run(file, ["reclone"])).toMatchObject({ exit: 2 })
  })
  test("a wish that nobody fulfils in time is taken back", async () => {
    const file = await holding(threeKeepers())
    await publish(file, {})
    const ran = await run(file, ["restart", "pg2", "--timeout=300ms"])
    expect(ran.exit).toBe(1)
    expect(ran.stderr).toContain("the request is taken back")
    expect((await stored(file)).keepers.get(keeper("pg2"))?.status).not.toHaveProperty("wishes")
  })
  test("reclone asks before it does anything, and silence is no answer", async () => {
    const file = await holding(threeKeepers())
    await publish(file, {})
    const ran = await run(file, ["reclone", "pg2", "--discard-old"])
    expect(ran.exit).toBe(1)
    expect(ran.stdout).toStartWith("WARNING: The copy of keeper pg2 is removed before")
    expect(ran.stderr).toContain("pass --yes")
    expect(await run(file, ["reclone", "pg1", "--yes"])).toMatchObject({
      exit: 1,
      stderr:
        "stolon ctl reclone: keeper pg1 has the primary; move it first: stolon ctl switchover\n",
    })
    expect((await stored(file)).keepers.get(keeper("pg2"))?.status).not.toHaveProperty("wishes")
    const written = await run(file, ["reclone", "pg2", "--discard-old", "--yes", "--no-wait"])
    expect(written.exit).toBe(0)
    const { wishes } = (await stored(file)).keepers.get(keeper("pg2"))?.status ?? {}
    expect(wishes?.reclone?.discardOld).toBe(true)
  })
})
