/**
 * `stolon ctl switchover` and `ctl failover KEEPER` on a real sqlite store, with a leader that is
 * played: it takes the wish up, and answers it as the test says.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { ClusterData, ClusterStatus } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { KeeperInfo, SentinelInfo } from "#model/info.ts"
import { sentinelUID } from "#model/ids.ts"
import type { Store } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { until } from "#test/conformance/wait.ts"
import { db, threeKeepers } from "#test/unit/ctl/golden.ts"
import { type Played, onSqlite, playCtl } from "./played.ts"

let dir = ""
let database = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-switchover-"))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const signal = (): AbortSignal => AbortSignal.timeout(20_000)

const open = (file: string): Promise<Store> =>
  openStore({
    clusterName: "t",
    backend: "sqlite",
    endpoints: [file],
    prefix: "stolon/cluster",
    timeout: millis(5_000),
    tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
    user: "",
    password: "",
  })

/** A store that holds `data`. */
async function holding(data: ClusterData): Promise<{ file: string; store: Store }> {
  const file = join(dir, `store-${++database}.db`)
  const store = await open(file)
  await store.write(data, { kind: "anything" }, null, signal())
  return { file, store }
}

/** The same with a sentinel that leads. */
async function led(data: ClusterData): Promise<{ file: string; store: Store }> {
  const held = await holding(data)
  await held.store.campaign(sentinelUID("s1"), signal())
  return held
}

async function read(store: Store): Promise<ClusterData> {
  const reading = await store.read(signal())
  if (reading.kind === "absent") throw new Error("no cluster data")
  return reading.data
}

/** What keeper `i` of `threeKeepers` publishes when all is well. */
async function report(store: Store, i: number): Promise<void> {
  const info = decodeJson(KeeperInfo, {
    infoUID: `i${i}`,
    uid: `pg${i}`,
    clusterUID: "c1",
    capabilities: ["certificate", "switchover"],
    postgresState: {
      uid: `db${i}`,
      generation: 3,
      healthy: true,
      timelineID: 2,
      xLogPos: i === 3 ? 0x2000060 : 0x3000060,
      inRecovery: i !== 1,
      streaming: i !== 1,
      acceptsClients: true,
    },
  })
  await store.publish({ kind: "keeper", info }, millis(60_000), signal())
}

type Move = (status: ClusterStatus) => { readonly status: ClusterStatus; readonly gate: string }

/** Waits for the wish, then writes each move over what stands there. */
async function lead(store: Store, moves: readonly Move[]): Promise<void> {
  const asked = async (): Promise<boolean> => {
    const { switchover, failoverRequest } = (await read(store)).cluster.status
    return switchover !== undefined || failoverRequest !== undefined
  }
  await until("the wish", async () => ((await asked()) ? true : null), 10_000)
  for (const move of moves) {
    const data = await read(store)
    const { status, gate } = move(data.cluster.status)
    const cluster = { ...data.cluster, status }
    const proxy = { ...data.proxy, spec: { ...data.proxy.spec, masterDbUid: db(gate) } }
    await store.write({ ...data, cluster, proxy }, { kind: "anything" }, null, signal())
  }
}

type Phase = NonNullable<ClusterStatus["switchover"]>["phase"]
const phase =
  (name: Phase, gate: string, change: Partial<ClusterStatus> = {}): Move =>
  ({ switchover, ...status }) => ({
    gate,
    status: {
      ...status,
      ...change,
      ...(switchover === undefined ? {} : { switchover: { ...switchover, phase: name } }),
    },
  })
const answer =
  (done: boolean, gate: string, why = ""): Move =>
  ({ switchover, failoverRequest, ...status }) => {
    const nonce = switchover?.nonce ?? failoverRequest?.nonce
    if (nonce === undefined) throw new Error("nothing to answer")
    const master = done ? db("db2") : status.master
    return {
      gate,
      status: { ...status, master, primaryRevoked: false, answered: { nonce, done, why } },
    }
  }

const whole: readonly Move[] = [
  phase("checkpoint", "db1"),
  phase("hold", ""),
  phase("stop", "", { primaryRevoked: true }),
  phase("promote", "", { primaryRevoked: false, master: db("db2") }),
  answer(true, "db2"),
]

/** The command, beside a leader that moves so. */
async function play(argv: readonly string[], moves: readonly Move[]): Promise<Played> {
  const { file, store } = await led(threeKeepers())
  await using _ = store
  const leading = lead(store, moves)
  const told = await playCtl(argv, onSqlite(file))
  await leading
  return told
}

describe("stolon ctl switchover", () => {
  test("follows the leader to the end, and says who is the primary and how long writes paused", async () => {
    const told = await play(["switchover", "--to", "pg2"], whole)
    expect(told).toMatchObject({ exit: 0, stderr: "" })
    const lines = told.stdout.trimEnd().split("\n")
    expect(lines.at(-1)).toMatch(/^pg2 is the primary; writes paused for (less than )?\d+\.\d\d s$/)
    const phases = lines.slice(0, -1).flatMap((line) => line.match(/[a-z]+(?=,|:|\s{2})/g) ?? [])
    expect(phases).toEqual(["asked", "checkpoint", "hold", "stop", "promote", "open"])
  })

  test("tells a program the same as one object", async () => {
    const told = await play(["switchover", "pg2", "--format=json"], whole)
    expect(told).toMatchObject({ exit: 0, stderr: "" })
    const { phases, ...rest } = JSON.parse(told.stdout)
    expect(rest).toMatchObject({ done: true, outcome: "done", primary: "pg2", why: null })
    expect(phases.flatMap((span: { phases: string[] }) => span.phases)).toHaveLength(6)
  })

  test("fails with the leader's reason when it refuses, also in JSON", async () => {
    const refusal = [answer(false, "db1", "pg2: it lags 1073741824 bytes")]
    const told = await play(["switchover", "--to=pg2"], refusal)
    expect(told.exit).toBe(1)
    expect(told.stderr).toBe(
      "stolon ctl switchover: the leading sentinel refused the switchover: pg2: it lags 1073741824 bytes; see: stolon ctl explain\n",
    )
    const json = await play(["switchover", "--to=pg2", "-f", "json"], refusal)
    expect(json.exit).toBe(1)
    expect(JSON.parse(json.stdout)).toMatchObject({ done: false, outcome: "refused" })
  })

  test("tells that it was undone, and that clients have the old primary again", async () => {
    const undone = [phase("hold", ""), answer(false, "db1", "a proxy does not answer")]
    const told = await play(["switchover"], undone)
    expect(told.exit).toBe(1)
    expect(told.stderr).toContain("a proxy does not answer")
  })

  test("writes nothing while another request is under way, and says which", async () => {
    const running = { nonce: "n0", keeper: "pg3", drain: "5s", phase: "stop" }
    const { file, store } = await holding(threeKeepers({ switchover: running }))
    await using _ = store
    for (const verb of ["switchover", "failover"]) {
      const told = await playCtl([verb, "pg2"], onSqlite(file))
      expect(told.exit).toBe(1)
      expect(told.stderr).toContain("a switchover to pg3 is under way (request n0, stop)")
    }
    expect((await read(store)).cluster.status.switchover?.nonce as string).toBe("n0")
  })

  test("asks for nothing where nobody would take it up, and says what is missing", async () => {
    const { file, store } = await holding(threeKeepers())
    await using _ = store
    for (const verb of ["switchover", "failover"]) {
      const told = await playCtl([verb, "pg2", "--timeout=100ms"], onSqlite(file))
      expect(told.exit).toBe(1)
      expect(told.stderr).toContain("no sentinel leads this cluster, so nobody would act")
    }
    const { switchover, failoverRequest } = (await read(store)).cluster.status
    expect([switchover, failoverRequest]).toEqual([undefined, undefined])
  })

  test("refuses a leader that would never answer", async () => {
    const { file, store } = await holding(threeKeepers())
    await using _ = store
    const uid = sentinelUID("s1")
    const info = decodeJson(SentinelInfo, { UID: "s1", capabilities: ["pause"] })
    await store.publish({ kind: "sentinel", info }, millis(60_000), signal())
    const leadership = await store.campaign(uid, signal())
    const told = await playCtl(["switchover"], onSqlite(file))
    await leadership.resign(signal())
    expect(told).toMatchObject({ exit: 1 })
    expect(told.stderr).toContain("sentinel s1 is older")
  })

  test("--dry-run says who would be promoted, or why nobody may, and writes nothing", async () => {
    const { file, store } = await holding(threeKeepers())
    await using _ = store
    const dry = (...argv: string[]): Promise<Played> =>
      playCtl(["switchover", "--dry-run", ...argv], onSqlite(file))
    const silent = await dry()
    expect(silent).toMatchObject({ exit: 1, stdout: "" })
    expect(silent.stderr).toContain("it would be refused: ")
    for (const i of [1, 2, 3]) await report(store, i)
    const leadership = await store.campaign(sentinelUID("s1"), signal())
    // pg3 lags 16 MiB, more than maxStandbyLag
    const forecast = "pg2 would become the primary instead of pg1\n"
    expect(await dry()).toEqual({ exit: 0, stderr: "", stdout: forecast })
    expect(JSON.parse((await dry("-f", "json")).stdout)).toEqual({
      possible: true,
      primary: "pg2",
      why: null,
    })
    const lagging = await dry("pg3")
    expect(lagging.exit).toBe(1)
    expect(lagging.stderr).toContain("it would be refused: pg3: it lags 16777216 bytes")
    await leadership.resign(signal())
    expect((await dry()).stderr).toContain("no sentinel leads, so nobody would act")
    expect((await read(store)).cluster.status.switchover).toBeUndefined()
  })

  test("ctl explain reads the same store", async () => {
    const { file, store } = await holding(threeKeepers())
    await using _ = store
    for (const i of [1, 2, 3]) await report(store, i)
    const told = await playCtl(["explain"], onSqlite(file))
    expect(told).toMatchObject({ exit: 0, stderr: "" })
    expect(told.stdout).toContain("pg1 is the primary and clients are led to it")
    const rows = told.stdout.split("\n").filter((line) => line.startsWith("  pg"))
    expect(rows.map((row) => row.trim().split(/\s{2,}/))).toMatchObject([
      ["pg1", "running", "0/3000060", "-", "it is"],
      ["pg2", "running", "0/3000060", "0 B", "yes"],
      ["pg3", "running", "0/2000060", "16.0 MB", expect.stringMatching(/^no: it lags/)],
    ])
    const json = await playCtl(["explain", "--format=json"], onSqlite(file))
    expect(JSON.parse(json.stdout)).toMatchObject({ leader: null, primary: { keeper: "pg1" } })
  })

  test("returns at once with --no-wait, and takes only one keeper", async () => {
    const { file, store } = await led(threeKeepers())
    await using _ = store
    const both = await playCtl(["switchover", "pg3", "--to=pg2"], onSqlite(file))
    expect(both).toMatchObject({ exit: 2, stdout: "" })
    expect((await read(store)).cluster.status.switchover).toBeUndefined()
    const told = await playCtl(["switchover", "--no-wait", "--drain-timeout=1s"], onSqlite(file))
    expect(told).toMatchObject({ exit: 0, stderr: "" })
    expect(told.stdout).toMatch(/^switchover requested \([0-9a-f]{8}\)\n$/)
    const { switchover } = (await read(store)).cluster.status
    expect(switchover).toMatchObject({ keeper: "", phase: "asked", drain: 1_000_000_000n })
  })

  test("leaves the request when its time is over, and says so", async () => {
    const { file, store } = await led(threeKeepers())
    await using _ = store
    const told = await playCtl(["switchover", "--timeout=200ms"], onSqlite(file))
    expect(told.exit).toBe(1)
    expect(told.stderr).toContain("asked; the leading sentinel goes on with it or undoes it")
    expect((await read(store)).cluster.status.switchover).toBeDefined()
  })

  test("ends by Ctrl-C with 130; the request stays, and it says how to look", async () => {
    const { file, store } = await led(threeKeepers())
    await using _ = store
    const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
    await using child = Bun.spawn([process.execPath, entry, "ctl", "switchover"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: process.env["PATH"] ?? "", ...onSqlite(file) },
    })
    const wished = async (): Promise<true | null> =>
      (await read(store)).cluster.status.switchover === undefined ? null : true
    await until("the wish", wished, 10_000)
    // it listens for the signal from right after the write on; a phase that it tells proves it
    const told = child.stdout.getReader()
    await lead(store, [phase("checkpoint", "db1")])
    await told.read()
    child.kill("SIGINT")
    const [stderr, exit] = await Promise.all([child.stderr.text(), child.exited])
    expect(exit).toBe(130)
    expect(stderr).toContain(
      "interrupted: checkpoint; the leading sentinel goes on with it or undoes it; look at: stolon ctl status",
    )
    expect((await read(store)).cluster.status.switchover).toBeDefined()
  })
})

describe("stolon ctl failover", () => {
  test("takes the keeper as an argument, and tells the leader's reason", async () => {
    const { file, store } = await led(threeKeepers())
    await using _ = store
    let wished: string | undefined
    const refuse: Move = (status) => {
      wished = status.failoverRequest?.keeper
      return answer(false, "db1", "pg2: its keeper is silent")(status)
    }
    const leading = lead(store, [refuse])
    const told = await playCtl(["failover", "pg2"], onSqlite(file))
    await leading
    expect(wished).toBe("pg2")
    expect(told.exit).toBe(1)
    expect(told.stderr).toContain(
      "refused the failover: pg2: its keeper is silent; see: stolon ctl explain",
    )
  })
})
