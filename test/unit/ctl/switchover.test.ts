/** What `ctl switchover` writes, and what it says of the looks that follow. */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { type ClusterData, encodeClusterData } from "#model/cluster.ts"
import { decodeJson } from "#model/codec.ts"
import { type Nonce, sentinelUID } from "#model/ids.ts"
import { KeeperInfo, SentinelInfo } from "#model/info.ts"
import { cannotSwitch, requestFailover, requestSwitchover, switchoverChange } from "#ctl/request.ts"
import {
  type Progress,
  newWatch,
  pauseText,
  see,
  spanLine,
  switchoverJson,
} from "#ctl/switchover.ts"
import { db, keeper, noInfos, threeKeepers } from "./golden.ts"

const nonce = "n1" as Nonce
const drain = millis(5_000)
const wish = (phase: string) => ({
  switchover: { nonce: "n1", keeper: "pg2", drain: "5s", phase },
})
const answer = (done: boolean, why = "") => ({ answered: { nonce: "n1", done, why } })

/** The view in a phase; `gate` is where clients are led. */
function view(status: object, gate: string): ClusterData {
  const data = threeKeepers(status)
  return { ...data, proxy: { ...data.proxy, spec: { ...data.proxy.spec, masterDbUid: db(gate) } } }
}
/** pg2's keeper reports its DB as a primary that is ready. */
const ready = {
  ...noInfos,
  keepers: new Map([
    [
      keeper("pg2"),
      decodeJson(KeeperInfo, {
        uid: "pg2",
        postgresState: { uid: "db2", generation: 3, healthy: true },
      }),
    ],
  ]),
}

const asked = view(wish("asked"), "db1")
const checkpoint = view(wish("checkpoint"), "db1")
const hold = view(wish("hold"), "")
const stop = view({ ...wish("stop"), primaryRevoked: true }, "")
const promote = view({ ...wish("promote"), master: "db2" }, "")
const open = view({ ...answer(true), master: "db2" }, "db2")

/** Looks, each at its time, after a request at 0. */
function run(looks: readonly (readonly [at: number, data: ClusterData, infos?: typeof noInfos])[]) {
  let watch = newWatch(nonce, db("db1"), millis(0))
  let progress: Progress = { kind: "waiting", why: null, on: "" }
  const lines: string[] = []
  for (const [at, data, infos = noInfos] of looks) {
    const seen = see(watch, { data, infos, leader: null }, millis(at))
    watch = seen.watch
    progress = seen.progress
    if (seen.ended !== null) lines.push(spanLine(seen.ended))
  }
  return { lines, progress, json: switchoverJson(watch, progress) }
}

describe("see()", () => {
  test("tells each phase when it is over, and the pause from the closing of the gate to its opening", () => {
    const told = run([
      [30, asked],
      [40, checkpoint],
      [120, hold],
      [130, hold],
      [140, stop],
      [200, promote],
      [290, promote, ready],
      [320, open, ready],
    ])
    expect(told.lines).toEqual([
      "asked       0.04 s",
      "checkpoint  0.08 s",
      "hold        0.02 s",
      "stop        0.06 s",
      "promote     0.09 s",
      "open        0.03 s",
    ])
    expect(told.progress).toEqual({
      kind: "done",
      keeper: keeper("pg2"),
      pause: { took: millis(200), exact: true },
    })
    expect(told.json).toEqual({
      done: true,
      outcome: "done",
      primary: "pg2",
      why: null,
      pause: { seconds: 0.2, exact: true },
      phases: [
        { phases: ["asked"], seconds: 0.04 },
        { phases: ["checkpoint"], seconds: 0.08 },
        { phases: ["hold"], seconds: 0.02 },
        { phases: ["stop"], seconds: 0.06 },
        { phases: ["promote"], seconds: 0.09 },
        { phases: ["open"], seconds: 0.03 },
      ],
    })
  })

  test("tells phases that passed between two looks together, and the pause as less than that", () => {
    const told = run([
      [40, checkpoint],
      [300, open, ready],
    ])
    expect(told.lines).toEqual([
      "asked       0.04 s",
      "checkpoint, hold, stop, promote, open: 0.26 s together (too fast to be seen one by one)",
    ])
    expect(told.progress).toMatchObject({
      kind: "done",
      pause: { took: millis(260), exact: false },
    })
    expect(told.progress.kind === "done" && pauseText(told.progress.pause)).toBe(
      "writes paused for less than 0.26 s",
    )
  })

  test("is not done while clients are led nowhere, whatever the answer says", () => {
    const early = view({ ...answer(true), master: "db2" }, "")
    expect(run([[10, early, ready]]).progress).toEqual({ kind: "waiting", why: null, on: "" })
  })

  test("tells a refusal with the leader's reason", () => {
    const told = run([
      [10, asked],
      [20, view(answer(false, "pg2 lags 1 GB"), "db1")],
    ])
    expect(told).toMatchObject({
      lines: [],
      progress: { kind: "refused", why: "pg2 lags 1 GB" },
      json: { done: false, outcome: "refused", why: "pg2 lags 1 GB", pause: null },
    })
  })

  test("tells an undone switchover only when clients are led to the old primary again", () => {
    const closed = view(answer(false, "pg2 lacks WAL"), "")
    const reopened = view(answer(false, "pg2 lacks WAL"), "db1")
    const looks = [
      [100, hold],
      [150, stop],
      [200, closed],
    ] as const
    expect(run(looks).progress).toEqual({ kind: "waiting", why: "pg2 lacks WAL", on: "" })
    expect(run([...looks, [500, reopened]])).toMatchObject({
      lines: [
        "asked, checkpoint: 0.10 s together (too fast to be seen one by one)",
        "hold        0.05 s",
        "stop        0.35 s",
      ],
      progress: {
        kind: "given-up",
        why: "pg2 lacks WAL",
        keeper: "pg1",
        pause: { took: 400, exact: true },
      },
    })
  })

  test("tells whom a failover in the middle brought, when clients are led to it", () => {
    const failed = answer(false, "pg1, the primary, failed meanwhile")
    const deposed = view({ ...failed, primaryRevoked: true }, "")
    const elected = view({ ...failed, master: "db3" }, "")
    const looks = [
      [10, checkpoint],
      [100, deposed],
      [200, elected],
    ] as const
    expect(run(looks).progress).toEqual({
      kind: "waiting",
      on: "",
      why: "pg1, the primary, failed meanwhile",
    })
    expect(run([...looks, [300, view({ ...failed, master: "db3" }, "db3")]]).progress).toEqual({
      kind: "given-up",
      why: "pg1, the primary, failed meanwhile",
      keeper: keeper("pg3"),
      pause: { took: millis(200), exact: true },
    })
  })

  test("knows that nobody answered, and that the answer to an earlier request is none", () => {
    expect(run([[10, view({}, "db1")]]).progress).toEqual({ kind: "lost" })
    const other = view({ answered: { nonce: "n0", done: true } }, "db1")
    expect(run([[10, other]]).progress).toEqual({ kind: "lost" })
  })

  test("takes a new primary that clients are led to for done, also when the answer was overwritten", () => {
    const overwritten = view({ answered: { nonce: "n2", done: true }, master: "db2" }, "db2")
    expect(run([[10, overwritten]]).progress).toMatchObject({ kind: "done" })
  })
})

describe("requestSwitchover()", () => {
  const at = (data: ClusterData, target: string | null = "pg2") =>
    requestSwitchover(nonce, target === null ? null : keeper(target), drain)(data)
  const why = (data: ClusterData, target: string | null = "pg2"): string => {
    const edited = at(data, target)
    return edited.kind === "refused" ? edited.message : edited.kind
  }

  test("writes the wish and nothing else", () => {
    const edited = at(threeKeepers())
    if (edited.kind !== "edited") throw new Error(edited.message)
    expect(JSON.parse(encodeClusterData(edited.data)).cluster.status.switchover).toEqual({
      nonce: "n1",
      keeper: "pg2",
      drain: "5s",
      phase: "asked",
    })
    const { switchover: _, ...status } = edited.data.cluster.status
    const undone = { ...edited.data, cluster: { ...edited.data.cluster, status } }
    expect(encodeClusterData(undone)).toBe(encodeClusterData(threeKeepers()))
  })

  test("says which other request is under way, in both directions", () => {
    const running = threeKeepers({ switchover: { ...wish("hold").switchover, nonce: "n0" } })
    const text = "a switchover to pg2 is under way (request n0, hold); see: stolon ctl status"
    expect(why(running)).toBe(text)
    const failover = requestFailover(nonce, null)(running)
    expect(failover).toEqual({ kind: "refused", message: text })
    const pending = threeKeepers({ failoverRequest: { nonce: "n0", keeper: "" } })
    expect(why(pending)).toContain("another failover is pending (request n0)")
  })

  test("refuses what is plain: no such keeper, the primary's own, a Go leader, a failover", () => {
    expect(why(threeKeepers(), "pg9")).toContain("there is no keeper pg9")
    expect(why(threeKeepers(), "pg1")).toBe("keeper pg1 already has the primary")
    expect(why(threeKeepers({ primaryEpoch: "" }))).toContain("it is Go stolon's")
    expect(why(threeKeepers({ primaryRevoked: true }))).toContain("a failover is in progress")
    expect(why(threeKeepers({ master: "" }))).toContain("no primary yet")
  })

  test("W5 a write whose answer was lost is known by the wish, and by the answer to it", () => {
    const { inForce, once } = switchoverChange(nonce, null, drain)
    expect(once).toBe(true)
    expect(inForce(threeKeepers(wish("hold")))).toBe(true)
    expect(inForce(threeKeepers(answer(false, "no")))).toBe(true)
    expect(inForce(threeKeepers({ answered: { nonce: "n0", done: true } }))).toBe(false)
    expect(inForce(threeKeepers())).toBe(false)
  })

  test("cannotSwitch() tells of a leader that would keep the wish and never answer it", () => {
    const leader = sentinelUID("s1")
    const led = (capabilities: readonly string[]) => ({
      data: null,
      leader,
      infos: {
        ...noInfos,
        sentinels: new Map([[leader, decodeJson(SentinelInfo, { UID: "s1", capabilities })]]),
      },
    })
    expect(cannotSwitch(led(["pause"]))).toContain("sentinel s1 is older")
    expect(cannotSwitch(led(["pause", "promise"]))).toBe(null)
  })
})
