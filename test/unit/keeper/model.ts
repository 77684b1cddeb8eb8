/**
 * What each step does to a machine, in the smallest form that can be wrong in the ways that matter:
 * directories have an origin, so a test can ask whose data is where and what was destroyed;
 * starting what must not be started throws.
 */
import { never } from "#base/brand.ts"
import { type LSN, lsn, zeroLsn } from "#base/lsn.ts"
import { type Parameters, parseConf } from "#keeper/conf.ts"
import { guardOf } from "#keeper/hba.ts"
import type { TimelineHistory } from "#model/cluster.ts"
import { type DBUID, type Nonce, dbUID, generation } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import type {
  ConfigFiles,
  DBState,
  FencingMode,
  KeeperState,
  Local,
  Mark,
  Place,
  PromiseMade,
} from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { settings, systemID } from "./build.ts"

export interface Dir {
  /** Whose data: "old", "initdb", "backup", "copy", "rewound". */
  readonly origin: string
  readonly partial: boolean
  readonly timeline: number
  readonly end: LSN
  readonly history: readonly TimelineHistory[]
  readonly state: string
  readonly files: ConfigFiles | null
  readonly slots: readonly string[]
  readonly roles: boolean
}

export interface Running {
  readonly ready: boolean
  readonly inRecovery: boolean
  readonly conf: Parameters
  readonly hba: string
  readonly restartNeeded: boolean
}

export interface Machine {
  readonly keeper: KeeperState
  readonly db: DBState
  readonly mark: Mark | null
  readonly data: Dir | null
  readonly side: Dir | null
  readonly asides: readonly Dir[]
  readonly certificate: Certificate | null
  readonly handled: readonly Nonce[]
  readonly fencing: FencingMode | null
  readonly promise: PromiseMade | null
  readonly server: Running | null
  /** The last that ran was told to end. */
  readonly asked: boolean
  readonly binary: number
  /** Of the data directory. */
  readonly major: number
  /** Slots that kept more WAL than they may. */
  readonly lost: readonly string[]
  readonly logicalSlots: number
  readonly segmentBytes: number
  /** What the running server was started with. */
  readonly place: Place
  readonly floors: ReadonlyMap<string, number> | null
  readonly diskBytes: number | null
  /** The password of the flags is not the superuser's. */
  readonly refusing: boolean
  /** A standby reaches its primary. */
  readonly linked: boolean
  /** There is no such superuser at all. */
  readonly stranger: boolean
  /** In sync with this primary. */
  readonly inSync: readonly DBUID[]
  /** What the followed DB's history ends a copy with. */
  readonly source: Pick<Dir, "timeline" | "end" | "history">
  /** Origins that are gone for ever, in order. */
  readonly destroyed: readonly string[]
  /** Steps carried out, by kind. */
  readonly trace: readonly string[]
}

export const emptyMachine: Machine = {
  keeper: { uid: "k1" as KeeperState["uid"], clusterUID: "c1" as KeeperState["clusterUID"] },
  db: { uid: dbUID(""), generation: generation(0), initializing: false, initPGParameters: null },
  mark: null,
  data: null,
  side: null,
  asides: [],
  certificate: null,
  handled: [],
  fencing: null,
  promise: null,
  server: null,
  asked: false,
  binary: 15,
  major: 15,
  lost: [],
  logicalSlots: 0,
  segmentBytes: 16 << 20,
  place: { listenAddress: settings.listenAddress, port: settings.port, socketDirectory: "/tmp" },
  floors: null,
  diskBytes: null,
  refusing: false,
  stranger: false,
  linked: true,
  inSync: [],
  source: {
    timeline: 2,
    end: lsn(2000n),
    history: [{ timelineID: 1, switchPoint: lsn(1000n), reason: "" }],
  },
  destroyed: [],
  trace: [],
}

export const dir = (origin: string, change: Partial<Dir> = {}): Dir => ({
  origin,
  partial: false,
  timeline: 1,
  end: lsn(900n),
  history: [],
  state: "shut down",
  files: null,
  slots: [],
  roles: true,
  ...change,
})

/** The value that a keeper would see. */
export function observe(machine: Machine): Local {
  const { data, server } = machine
  return {
    keeper: machine.keeper,
    db: machine.db,
    mark: machine.mark,
    data:
      data === null
        ? { kind: "missing" }
        : data.partial
          ? { kind: "partial" }
          : {
              kind: "initialized",
              role: data.files?.signal === "standby" ? "standby" : "master",
              systemID,
              major: machine.major,
              control: server === null ? control(data) : null,
              newest: data.timeline,
              history: data.history,
            },
    side: machine.side !== null,
    asides: machine.asides.map((_, i) => `postgres.aside-${i}`),
    files: data?.files ?? null,
    postmaster: server !== null,
    asked: server === null && machine.asked,
    server: serverOf(machine),
    binary: { Maj: machine.binary, Min: 1 },
    unfit: [],
    floors: machine.floors,
    walSegmentBytes: null,
    diskBytes: machine.diskBytes,
    unwritable: null,
    certificate: machine.certificate,
    handled: machine.handled,
    fencing: machine.fencing,
    promise: machine.promise,
  }
}

const control = (data: Dir) => ({
  systemID,
  state: data.state,
  checkpoint: data.state.includes("recovery") ? lsn(data.end - 50n) : lsn(data.end - 1n),
  timeline: data.timeline,
  minRecoveryEnd: data.state.includes("recovery") ? data.end : lsn(0n),
  checksums: true,
  walLogHints: false,
})

function serverOf(machine: Machine): Local["server"] {
  const { server, data, inSync, source } = machine
  if (server === null || data === null) return { kind: "down" }
  if (machine.stranger)
    return { kind: "starting", why: 'role "postgres" does not exist', refused: true }
  if (server.ready && machine.refusing && server.conf.get("stolon.revision") !== "temporary")
    return { kind: "starting", why: "password authentication failed", refused: true }
  if (!server.ready) return { kind: "starting", why: "the database system is starting up" }
  const forks = source.history.find((entry) => entry.timelineID === data.timeline)
  const follows = forks === undefined || data.end <= forks.switchPoint
  return {
    kind: "up",
    inRecovery: server.inRecovery,
    systemID,
    timeline: data.timeline,
    position: data.end,
    replayed: server.inRecovery ? data.end : zeroLsn,
    history: data.history,
    syncStandbys: server.inRecovery ? [] : inSync,
    streaming:
      machine.linked &&
      server.inRecovery &&
      (server.conf.get("primary_conninfo") ?? "") !== "" &&
      follows,
    revision: server.conf.get("stolon.revision") ?? "",
    pendingRestart: server.restartNeeded,
    slots: data.slots.map((name) => ({ name, active: false, lost: machine.lost.includes(name) })),
    slotsUsed: data.slots.length + machine.logicalSlots,
    place: machine.place,
    segmentBytes: machine.segmentBytes,
    fileParameters: server.conf,
    olderWalFile: "000000010000000000000003",
  }
}

const needRestart = ["max_connections", "max_wal_senders", "max_replication_slots", "wal_log_hints"]

/**
 * The machine after a whole step. Throws where the real executor would refuse, and where a promise
 * would be broken.
 */
export function apply(machine: Machine, step: Step): Machine {
  const next = applied(machine, step)
  return { ...next, trace: [...machine.trace, step.kind] }
}

function applied(m: Machine, step: Step): Machine {
  switch (step.kind) {
    case "save-keeper":
      return { ...m, keeper: step.state }
    case "save-db":
      return { ...m, db: step.state }
    case "mark":
      return { ...m, mark: step.mark }
    case "unmark":
      return { ...m, mark: null }
    case "certify":
      must(m.server === null, "certified while PostgreSQL runs")
      return { ...m, certificate: step.certificate }
    case "save-handled":
      return { ...m, handled: step.handled }
    case "save-fencing":
      return { ...m, fencing: step.mode }
    case "stop":
      return stopped(m, true)
    case "discard-side":
      return { ...m, side: null }
    case "discard-data":
      must(m.server === null, "discarded while PostgreSQL runs")
      must(m.mark !== null, "only marked data may be discarded")
      return { ...m, data: null, destroyed: gone(m, m.data) }
    case "set-aside":
      must(m.server === null, "set aside while PostgreSQL runs")
      must(m.side !== null, "set aside without a replacement")
      return m.data === null ? m : { ...m, data: null, asides: [...m.asides, m.data] }
    case "remove-asides":
      return { ...m, asides: [], destroyed: [...m.destroyed, ...m.asides.map((one) => one.origin)] }
    case "initdb":
      return { ...m, side: beside(m, dir("initdb", { roles: false, end: lsn(10n) })) }
    case "restore":
      return { ...m, side: beside(m, dir("backup", { state: "in production" })) }
    case "clone":
      return {
        ...m,
        side: beside(
          m,
          dir("copy", { ...m.source, state: "in archive recovery", files: primaryFiles }),
        ),
      }
    case "swap-in":
      must(m.data === null, "postgres/ is in the way")
      must(
        m.side !== null && !m.side.partial && m.mark?.kind === "copied",
        "half a copy swapped in",
      )
      return { ...m, data: m.side, side: null }
    case "save-divergent-wal":
      return m
    case "rewind":
      must(
        m.server === null && m.mark?.kind === "rewind" && m.data !== null,
        "rewound without a mark",
      )
      return {
        ...m,
        data: dir("rewound", { ...m.source, state: "in archive recovery", files: primaryFiles }),
      }
    default:
      return appliedToServer(m, step)
  }
}

/** What a copy brings along of its source's files: that one says that its timelines are its own. */
const primaryFiles: ConfigFiles = { conf: "stolon.lineage = 'db2'\n", hba: "", signal: "none" }

type FileStep =
  | "save-keeper"
  | "save-db"
  | "mark"
  | "unmark"
  | "certify"
  | "save-handled"
  | "save-fencing"
  | "stop"
  | "discard-side"
  | "discard-data"
  | "set-aside"
  | "remove-asides"
  | "initdb"
  | "restore"
  | "clone"
  | "swap-in"
  | "save-divergent-wal"
  | "rewind"

function appliedToServer(m: Machine, step: Exclude<Step, { kind: FileStep }>): Machine {
  const data = m.data
  if (data === null) throw new Error(`${step.kind} without data`)
  switch (step.kind) {
    case "write-config":
      return { ...m, data: { ...data, files: step.files } }
    case "prepare": {
      const conf = data.files?.conf ?? ""
      return { ...m, data: { ...data, files: { conf, hba: step.hba, signal: step.signal } } }
    }
    case "start":
      return started(m, data, step.temporary)
    case "wait-ready":
      must(m.server !== null, "waits for nothing")
      return { ...m, server: { ...running(m), ready: true } }
    case "wait-recovered":
      return {
        ...m,
        data: { ...data, timeline: 2, files: { conf: "", hba: "", ...data.files, signal: "none" } },
        server: { ...running(m), ready: true, inRecovery: false },
      }
    case "create-roles":
    case "check-roles":
      must(running(m).ready, "not ready")
      return { ...m, refusing: false, data: { ...data, roles: true } }
    case "capture-parameters":
      return {
        ...m,
        db: { ...step.state, initPGParameters: new Map([["shared_buffers", "128MB"]]) },
      }
    case "promote":
      return {
        ...m,
        data: {
          ...data,
          timeline: data.timeline + 1,
          history: [
            ...data.history,
            { timelineID: data.timeline, switchPoint: data.end, reason: "" },
          ],
          files: { conf: "", hba: "", ...data.files, signal: "none" },
        },
        server: { ...running(m), inRecovery: false },
      }
    case "end-sessions":
      return m
    case "prove-sync":
      must(
        running(m).conf.get("synchronous_standby_names") === step.names,
        "names are not in force",
      )
      return m
    case "reload": {
      const conf = parseConf(data.files?.conf ?? "")
      must(conf.get("stolon.revision") === step.revision, "another file was loaded")
      const before = running(m)
      const changed = needRestart.some((name) => before.conf.get(name) !== conf.get(name))
      return {
        ...m,
        server: { ...before, conf, hba: data.files?.hba ?? "", restartNeeded: changed },
      }
    }
    case "checkpoint":
      must(running(m).ready, "not ready")
      return m
    case "detach":
      must(!running(m).conf.has("primary_conninfo"), "it may follow again at any moment")
      return m
    case "create-slot":
      return { ...m, data: { ...data, slots: [...data.slots, step.name] } }
    case "drop-slot":
      return {
        ...m,
        lost: m.lost.filter((name) => name !== step.name),
        data: { ...data, slots: data.slots.filter((name) => name !== step.name) },
      }
    default:
      return never(step)
  }
}

function started(m: Machine, data: Dir, temporary: string | null): Machine {
  must(m.server === null, "started twice")
  must(!data.partial, "half a directory was started")
  must(
    m.mark === null || (m.mark.kind === "setup" && temporary !== null),
    "a marked directory was started",
  )
  const conf = parseConf(`${data.files?.conf ?? ""}\n${temporary ?? ""}`)
  const inRecovery = data.files !== null && data.files.signal !== "none"
  const state = inRecovery ? "in archive recovery" : "in production"
  const server = {
    ready: false,
    inRecovery,
    conf,
    hba: data.files?.hba ?? "",
    restartNeeded: false,
  }
  return { ...m, server, data: { ...data, state } }
}

export function stopped(m: Machine, orderly: boolean): Machine {
  if (m.server === null || m.data === null) return { ...m, server: null }
  const state = m.server.inRecovery ? "shut down in recovery" : "shut down"
  return { ...m, server: null, data: orderly ? { ...m.data, state } : m.data }
}

/** Where a step may leave things when the keeper dies inside it. */
export function halfway(m: Machine, step: Step): readonly Machine[] {
  const after = apply(m, step)
  switch (step.kind) {
    case "clone":
    case "restore":
    case "initdb":
      return [{ ...after, side: after.side === null ? null : { ...after.side, partial: true } }]
    case "rewind":
      return [{ ...m, data: dir("half-rewound", { partial: false }) }]
    case "discard-data":
      return [{ ...m, data: m.data === null ? null : { ...m.data, partial: true } }]
    case "start":
      return [after]
    default:
      return []
  }
}

const running = ({ server }: Machine): Running => {
  if (server === null) throw new Error("PostgreSQL does not run")
  return server
}
const beside = (m: Machine, made: Dir): Dir => {
  must(m.side === null, "the side directory is not empty")
  return made
}
const gone = (m: Machine, data: Dir | null): readonly string[] =>
  data === null ? m.destroyed : [...m.destroyed, data.partial ? `half ${data.origin}` : data.origin]

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what)
}

/** What a client over the network would find. */
export const clientsMayEnter = ({ server, data }: Machine): boolean =>
  server !== null &&
  server.ready &&
  data !== null &&
  server.hba.includes("host all all") &&
  guardOf(server.hba) === "none"

export const loadedRevision = (m: Machine): string => m.server?.conf.get("stolon.revision") ?? ""
