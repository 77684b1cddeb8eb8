/**
 * Defects of the reference that a keeper's plan must not have, one test each, named by number; and
 * what automation relies on. Those that a flow, a renderer or the loops show are with these.
 */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import { guardOf } from "#keeper/hba.ts"
import { emptyMemory } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import { ignoredParameters, render } from "#keeper/render.ts"
import { orphanTime } from "#keeper/settings.ts"
import { desire } from "#keeper/desire.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import { dbUID, generation, infoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { DBState } from "#model/local.ts"
import { keeperInfo } from "#keeper/info.ts"
import { boot, db, followsOther, me, other, settings, view } from "./build.ts"
import { type Machine, clientsMayEnter, dir, emptyMachine, observe } from "./model.ts"
import { kinds, settle } from "./run.ts"

const state = (uid: string, gen = 1): DBState => ({
  uid: dbUID(uid),
  generation: generation(gen),
  initializing: false,
  initPGParameters: null,
})
const stopped: Machine = { ...emptyMachine, db: state("db1"), data: dir("old") }
const standbyData = dir("old", {
  timeline: 2,
  end: lsn(1500n),
  history: emptyMachine.source.history,
  state: "shut down in recovery",
  files: { conf: "", hba: "", signal: "standby" },
})
const stoppedStandby: Machine = { ...stopped, data: standbyData }
const primaryView = (change: Partial<DB["spec"]> = {}): ClusterData =>
  view({ dbs: [db("db1", change), other()] })
const standbyView = (change: Partial<DB["spec"]> = {}, followed: DB = other()): ClusterData =>
  view({ master: "db2", dbs: [db("db1", { ...followsOther, ...change }), followed] })
const parameters = (entries: Record<string, string>): Partial<DB["spec"]> => ({
  pgParameters: new Map(Object.entries(entries)),
})
const up = settle(stopped, primaryView()).machine
const upStandby = settle(stoppedStandby, standbyView()).machine
const conf = (machine: Machine): ReadonlyMap<string, string> => machine.server?.conf ?? new Map()

test("D-06 a parameter of the user does not switch PostgreSQL's own restart on in synchronous mode", () => {
  const seen = primaryView({
    synchronousReplication: true,
    ...parameters({ restart_after_crash: "on" }),
  })
  expect(conf(settle(stopped, seen).machine).get("restart_after_crash")).toBe("off")
  const want = desire(seen, { uid: me, boot, certificate: null })
  if (want.kind !== "run") throw new Error(want.why)
  const ignored = ignoredParameters({ local: observe(stopped), want, settings })
  expect(ignored.map(({ name }) => name)).toEqual(["restart_after_crash"])
})

test("D-08 a source that fails costs the old directory nothing", () => {
  const seen = view({
    master: "db2",
    dbs: [db("db3", { initMode: "resync", ...followsOther }), other()],
  })
  const start = { ...stopped, data: dir("old", { end: lsn(1400n) }) }
  let tries = 0
  const failing = ({ kind }: { readonly kind: string }): boolean => kind === "clone" && tries++ < 20
  const done = settle(start, seen, { failing })
  expect(tries).toBeGreaterThan(20)
  const before = done.points.filter(({ step }) => step.kind === "clone")
  for (const { machine } of before) expect(machine.data?.origin).toBe("old")
  expect(done.machine.data?.origin).toBe("copy")
})

test("D-12 a fresh copy that does not stream for a long time is not copied a second time", () => {
  const seen = view({
    master: "db2",
    dbs: [db("db3", { initMode: "resync", ...followsOther }), other()],
  })
  const done = settle({ ...emptyMachine, linked: false }, seen)
  expect(kinds(done).filter((kind) => kind === "clone")).toHaveLength(1)
  expect(done.machine.db).toEqual(state("db3"))
  // what was there before and only follows has to show that it streams (D-09)
  const old = { ...stopped, linked: false, data: dir("old", { end: lsn(990n) }) }
  expect(kinds(settle(old, seen))).toContain("clone")
})

describe("a primary of which no cluster data speaks", () => {
  const gone: readonly (readonly [string, ClusterData | null])[] = [
    ["the data is gone, or JSON null", null],
    ["another cluster took its place", { ...primaryView(), keepers: new Map(), dbs: new Map() }],
  ]
  const at = (machine: Machine, seen: ClusterData | null, memory = emptyMemory, now = 1_000) =>
    plan({ view: seen, local: observe(machine), settings }, memory, millis(now))
  for (const [name, seen] of gone)
    test(`D-19 goes on for a while and is stopped then, with nothing deleted: ${name}`, () => {
      const first = at(up, seen)
      expect(first.steps.map(({ kind }) => kind)).toEqual([])
      expect(first.wake).toBe(millis(1_000 + orphanTime))
      const later = at(up, seen, first.memory, 1_000 + orphanTime)
      expect(later.steps.map(({ kind }) => kind)).toEqual(["stop"])
      expect(later.blocked?.why).toContain("belongs to no cluster is stopped")
    })
  test("T17 starts again when the cluster data is back, and the time counts anew", () => {
    const first = at(up, null)
    const back = at(up, primaryView(), first.memory, 50_000)
    expect(back.memory.orphanSince).toBeNull()
    const again = at(up, null, back.memory, 70_000)
    expect(again.steps).toEqual([])
    const done = settle({ ...up, server: null }, primaryView())
    expect(clientsMayEnter(done.machine)).toBeTrue()
  })
  test("D-19 a standby is left alone", () => {
    const first = at(upStandby, null)
    expect(at(upStandby, null, first.memory, 10 * orphanTime).steps).toEqual([])
  })
})

describe("what is published", () => {
  const info = (machine: Machine, ledByUs = true): KeeperInfo => {
    const desired = desire(primaryView(), { uid: me, boot, certificate: null })
    const made = keeperInfo(
      { local: observe(machine), settings, desired, work: "", ledByUs },
      infoUID("i"),
    )
    if (made === null) throw new Error("nothing published")
    return made
  }
  test("D-26 is the whole timeline history, oldest first", () => {
    const history = [1, 2, 3, 4, 5].map((timelineID) => ({
      timelineID,
      switchPoint: lsn(BigInt(timelineID) * 1000n),
      reason: "no recovery target specified",
    }))
    const old = { ...up, data: dir("old", { ...up.data, timeline: 6, history }) }
    expect(info(old).postgresState?.timelinesHistory).toEqual(history)
  })
  test("D-39 is the segment size, and no file name that a Go leader would reckon with wrongly", () => {
    const big = { ...up, segmentBytes: 64 << 20 }
    expect(info(big).postgresState).toMatchObject({ walSegmentSize: 64 << 20 })
    expect(info(big).postgresState?.olderWalFile).not.toBe("")
    expect(info(big, false).postgresState?.olderWalFile).toBe("")
    expect(info(up, false).postgresState?.olderWalFile).not.toBe("")
  })
})

describe("slots", () => {
  const withSlots = (machine: Machine, slots: readonly string[]): Machine => ({
    ...machine,
    data: machine.data === null ? null : { ...machine.data, slots },
  })
  const seen = primaryView({
    followers: [dbUID("db2")],
    additionalReplicationSlots: ["audit"],
  })
  test("D-37 a lost one is made anew, also when dropping it fails at first", () => {
    const lost = { ...withSlots(up, ["stolon_audit", "stolon_db2"]), lost: ["stolon_db2"] }
    expect(kinds(settle(lost, seen)).slice(0, 2)).toEqual(["drop-slot", "create-slot"])
    let tries = 0
    const done = settle(lost, seen, {
      failing: ({ kind }) => kind === "drop-slot" && tries++ < 2,
    })
    expect(done.machine.lost).toEqual([])
    expect(done.machine.data?.slots.toSorted()).toEqual(["stolon_audit", "stolon_db2"])
  })
  test("D-37 what slots may keep is bounded by the disk, unless the user says otherwise", () => {
    const disk = { ...stopped, diskBytes: 100 * 2 ** 30 }
    const kept = (own: Partial<DB["spec"]>): string | undefined =>
      conf(settle(disk, primaryView(own)).machine).get("max_slot_wal_keep_size")
    expect(kept({})).toBe("50GB")
    expect(kept(parameters({ max_slot_wal_keep_size: "-1" }))).toBe("-1")
    // a file system that names no size, and one that names 8 EiB: PostgreSQL starts with both
    for (const [diskBytes, value] of [
      [0, undefined],
      [2 ** 63, "1048576GB"],
    ] as const) {
      const { machine } = settle({ ...stopped, diskBytes }, primaryView())
      expect(conf(machine).get("max_slot_wal_keep_size")).toBe(value as string)
    }
    const old = settle({ ...disk, binary: 12, data: null }, primaryView({ initMode: "new" }))
    expect(conf(old.machine).has("max_slot_wal_keep_size")).toBeFalse()
  })
  test("D-38 a standby's keeps WAL from its creation on, another one does not", () => {
    const made = settle(stopped, seen).points.flatMap(({ step }) =>
      step.kind === "create-slot" ? [[step.name, step.reserve]] : [],
    )
    expect(made).toEqual([
      ["stolon_audit", false],
      ["stolon_db2", true],
    ])
  })
  test("T2 none is made on a standby that nobody follows, and those of others are dropped", () => {
    const done = settle(withSlots(upStandby, ["stolon_db9", "theirs"]), standbyView())
    expect(done.machine.data?.slots).toEqual(["theirs"])
    expect(kinds(settle(stoppedStandby, standbyView()))).not.toContain("create-slot")
  })
  test("D-49 the file has room for the slots that exist, of whatever kind", () => {
    const many = { ...up, logicalSlots: 30 }
    const done = settle(many, primaryView({ maxStandbys: 3, ...parameters({ work_mem: "9MB" }) }))
    expect(conf(done.machine).get("max_replication_slots")).toBe("30")
  })
})

describe("a resync", () => {
  const seen = (followed: DB, change: Partial<DB["spec"]> = {}): ClusterData =>
    view({
      master: "db2",
      dbs: [db("db3", { initMode: "resync", ...followsOther, ...change }), followed],
    })
  const diverged: Machine = { ...stopped, data: dir("old", { end: lsn(1400n) }) }

  test("D-59 waits without a word until the source has its slot, then copies", () => {
    const early = { ...other(), generation: generation(4) } // not applied yet
    const waiting = plan(
      { view: seen(early), local: observe(emptyMachine), settings },
      emptyMemory,
      millis(1_000),
    )
    expect(waiting.steps).toEqual([])
    expect(waiting.events.map(({ code }) => code)).not.toContain("plan.blocked")
    expect(waiting.wake).not.toBeNull()
    const next = plan(
      { view: seen(other()), local: observe(emptyMachine), settings },
      waiting.memory,
      millis(2_000),
    )
    expect(next.steps.map(({ kind }) => kind)).toContain("clone")
    // and does not wait for ever
    expect(settle(emptyMachine, seen(early)).machine.data?.origin).toBe("copy")
  })
  test("D-52 pg_rewind is not begun where it cannot work, and the reason is said once", () => {
    const asStandby = other({
      role: "standby",
      followConfig: { ...followsOther.followConfig, type: "external" },
    })
    const old = settle({ ...diverged, binary: 13 }, seen(asStandby, { usePgrewind: true }))
    expect(kinds(old)).not.toContain("rewind")
    expect(old.events.filter((code) => code === "rewind.impossible")).toHaveLength(1)
    const now = settle(diverged, seen(asStandby, { usePgrewind: true }))
    expect(kinds(now)).toContain("rewind")
    expect(now.events).not.toContain("rewind.impossible")
  })
  test("D-52 pg_rewind needs no password", () => {
    const trust = { name: "postgres", method: "trust", password: "" } as const
    const who = { ...settings, superuser: trust, replication: trust }
    const done = settle(diverged, seen(other(), { usePgrewind: true }), { settings: who })
    expect(kinds(done)).toContain("rewind")
  })
  test("D-36 an old primary that ended in good order follows as it is", () => {
    const done = settle({ ...stopped, data: dir("old", { end: lsn(990n) }) }, seen(other()))
    expect(done.machine.data?.origin).toBe("old")
    expect(kinds(done)).not.toContain("clone")
  })
})

describe("roles", () => {
  test("D-53 an instance without the superuser of the flags is said to be, not restarted for ever", () => {
    const seen = primaryView({ initMode: "existing", includePreviousConfig: true })
    const done = settle({ ...emptyMachine, data: dir("old"), stranger: true }, seen, {
      failing: ({ kind }) => kind === "wait-ready",
    })
    expect(kinds(done).filter((kind) => kind === "wait-ready")).toHaveLength(3)
    expect(done.plan.blocked?.resolve).toContain("--pg-su-username")
  })
  test("D-53 are looked at once by each new keeper of a primary, and by no keeper of a standby", () => {
    const one = settle(up, primaryView())
    expect(kinds(one)).toEqual(["check-roles"])
    expect(kinds(settle(up, primaryView(), { memory: one.plan.memory }))).toEqual([])
    expect(kinds(settle(upStandby, standbyView()))).toEqual([])
  })
  test("D-53 a look that fails holds nothing up and is given up", () => {
    const done = settle(stopped, primaryView(), { failing: ({ kind }) => kind === "check-roles" })
    expect(done.machine.db.generation).toBe(generation(1))
    expect(kinds(done).filter((kind) => kind === "check-roles")).toHaveLength(3)
  })
  test("D-53 a primary that refuses the password of new flags gets it in a start of its own", () => {
    const refusing = { ...up, refusing: true }
    const done = settle(refusing, primaryView())
    expect(kinds(done)).toEqual([
      ...["stop", "prepare", "start", "wait-ready", "create-roles", "stop"],
      ...["write-config", "start", "wait-ready"],
    ])
    expect(clientsMayEnter(done.machine)).toBeTrue()
    for (const { machine } of done.points)
      if (machine.server?.conf.get("stolon.revision") === "temporary") {
        expect(machine.server.hba).not.toContain("host")
        expect(machine.server.conf.get("listen_addresses")).toBe("")
        expect(machine.server.conf.get("unix_socket_permissions")).toBe("0700")
      }
  })
  test("D-53 a standby that is to be promoted and refuses it is not restarted over and over", () => {
    const refusing = { ...upStandby, db: state("db1"), refusing: true }
    const done = settle(refusing, primaryView())
    expect(done.plan.blocked?.resolve).toContain("the password that the former primary has")
    expect(kinds(done)).toEqual([])
  })
  test("D-53 a standby that refuses it says what helps", () => {
    const done = settle({ ...upStandby, refusing: true }, standbyView())
    expect(done.plan.blocked?.resolve).toContain("the primary's keeper")
    expect(kinds(done)).toEqual([])
  })
})

test("D-75 a PostgreSQL before 12 is refused in words, before anything is done", () => {
  const done = settle({ ...emptyMachine, binary: 11 }, primaryView({ initMode: "new" }))
  expect(kinds(done)).toEqual([])
  expect(done.plan.blocked?.why).toBe("PostgreSQL 11 is not supported")
})

test("D-74 a copy uses its slot, whatever the version", () => {
  for (const version of [12, 15, 18]) {
    const seen = view({
      master: "db2",
      dbs: [db("db3", { initMode: "resync", ...followsOther }), other()],
    })
    const { points } = settle({ ...emptyMachine, binary: version, major: version }, seen)
    const clone = points.map(({ step }) => step).find(({ kind }) => kind === "clone")
    expect(clone).toMatchObject({ slot: "stolon_db3" })
  }
})

test("D-76 several recovery targets are refused before anything is restored", () => {
  const none = {
    recoveryTarget: "",
    recoveryTargetLsn: "",
    recoveryTargetName: "",
    recoveryTargetTime: "",
    recoveryTargetXid: "",
    recoveryTargetTimeline: "2",
  }
  const pitr = (recoveryTargetSettings: typeof none): ClusterData =>
    view({
      dbs: [
        db("db1", {
          initMode: "pitr",
          pitrConfig: { dataRestoreCommand: "x", recoveryTargetSettings },
        }),
      ],
    })
  const two = settle(
    emptyMachine,
    pitr({ ...none, recoveryTargetXid: "7", recoveryTargetName: "here" }),
  )
  expect(kinds(two)).toEqual([])
  expect(two.plan.blocked?.why).toContain("recoveryTargetName, recoveryTargetXid")
  expect(kinds(settle(emptyMachine, pitr({ ...none, recoveryTargetXid: "7" })))).toContain(
    "restore",
  )
})

test("T5 says on every pass that there is nothing left to do", () => {
  const one = settle(up, primaryView())
  for (let i = 0; i < 3; i++)
    expect(settle(one.machine, primaryView(), { memory: one.plan.memory }).events).toContain(
      "parameters.unchanged",
    )
})

test("a promotion without synchronous standbys is finished by the keeper that comes after a crash", () => {
  const done = settle(upStandby, primaryView())
  const promoted = done.points.find(({ machine }) => machine.trace.at(-1) === "promote")
  if (promoted === undefined) throw new Error("never promoted")
  expect(guardOf(promoted.machine.server?.hba ?? "")).toBe("promoted")
  const next = settle(promoted.machine, primaryView())
  expect(kinds(next)[0]).toBe("end-sessions")
  expect(clientsMayEnter(next.machine)).toBeTrue()
})

test("D-70 a frozen parameter that the version does not know is left out of the file", () => {
  const seen = primaryView(parameters({ stats_temp_directory: "x", work_mem: "8MB" }))
  const want = desire(seen, { uid: me, boot, certificate: null })
  if (want.kind !== "run") throw new Error(want.why)
  const { files } = render({ local: observe(stopped), want, settings }, "none", "none")
  expect(files.conf).toContain("work_mem = '8MB'")
  expect(files.conf).not.toContain("stats_temp_directory")
})
