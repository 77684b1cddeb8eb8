/**
 * A Go keeper, scripted from reference section 6 with its defects: rules K1 to K15 by number, the
 * probe of 6.2, the resync of 6.4. It publishes what Go publishes and not a field more, so to a
 * leader of ours it is a Go keeper.
 */
import { byText } from "#base/order.ts"
import { make, marshal, unmarshal } from "./codec.ts"
import {
  type GoDB,
  type GoData,
  GoDBState,
  GoKeeperInfo,
  GoKeeperState,
  GoPostgresState,
  readGo,
} from "./documents.ts"
import { otherBranch } from "./judge.ts"
import type { GoMachine, GoSource } from "./machine.ts"
import { type GoSettings, confText, hbaText, managed, parameters, recovery } from "./render.ts"
import { type Filled, filled, invalid } from "./spec.ts"
import { type GoPorts, every } from "./store.ts"

interface Keeper {
  readonly ports: GoPorts
  readonly machine: GoMachine
  readonly settings: GoSettings
  readonly boot: string
  readonly signal: AbortSignal
  keeperState: GoKeeperState
  dbState: GoDBState
  sleep: number
  guard: boolean
  /** What the running PostgreSQL was given last; empty after a start of the keeper. */
  applied: { readonly conf: string; readonly hba: string; readonly recovery: string }
  found: GoPostgresState | null
}

/** One iteration of the state machine works on this. */
interface Turn {
  readonly data: GoData
  readonly db: GoDB
  readonly spec: Filled
}

const nothing = { conf: "", hba: "", recovery: "" } as const

/** Runs until `signal` aborts, then stops PostgreSQL as Go does at SIGTERM. */
export async function runGoKeeper(
  ports: GoPorts,
  machine: GoMachine,
  settings: GoSettings,
  signal: AbortSignal,
): Promise<void> {
  const keeperText = await machine.load("keeperstate")
  const dbText = await machine.load("dbstate")
  const keeper: Keeper = {
    ports,
    machine,
    settings,
    boot: ports.chance.uuid(),
    signal,
    keeperState:
      keeperText === null
        ? make(GoKeeperState, { UID: settings.uid })
        : unmarshal(GoKeeperState, keeperText),
    dbState: dbText === null ? make(GoDBState) : unmarshal(GoDBState, dbText),
    sleep: 5_000,
    guard: false,
    applied: nothing,
    found: null,
  }
  if (keeper.keeperState.UID !== settings.uid)
    throw new Error("keeper uid differs from keeperstate")
  await saveKeeper(keeper, keeper.keeperState.ClusterUID)
  const first = await ports.store.read(signal).catch(() => null)
  const data = first === null ? null : readGo(first.text)
  if (data !== null) keeper.sleep = filled(data.cluster.spec).sleep
  await machine.stop() // D-41: a new keeper always bounces PostgreSQL
  await Promise.all([
    every(
      ports,
      () => keeper.sleep,
      () => iterate(keeper),
      signal,
    ),
    every(
      ports,
      () => keeper.sleep / 2,
      () => probe(keeper),
      signal,
    ),
    every(
      ports,
      () => keeper.sleep,
      () => publish(keeper),
      signal,
    ),
  ])
  if (signal.reason !== sigkill) await machine.stop()
}

/** The reason of a signal that ends a keeper as SIGKILL does: PostgreSQL runs on (D-20). */
export const sigkill = new Error("SIGKILL")

async function saveKeeper(keeper: Keeper, ClusterUID: string): Promise<void> {
  keeper.keeperState = { ...keeper.keeperState, ClusterUID }
  await keeper.machine.save("keeperstate", marshal(GoKeeperState, keeper.keeperState))
}
async function saveDB(keeper: Keeper, state: Partial<GoDBState>): Promise<void> {
  keeper.dbState = { ...keeper.dbState, ...state }
  await keeper.machine.save("dbstate", marshal(GoDBState, keeper.dbState))
}

/** 6.2. */
async function probe(keeper: Keeper): Promise<void> {
  const { machine, settings, dbState } = keeper
  const state = {
    ...make(GoPostgresState),
    uid: dbState.UID,
    generation: dbState.Generation,
    listenAddress: settings.address,
    port: settings.port,
  }
  try {
    const seen =
      dbState.Initializing || !(await machine.isInitialized()) ? null : await machine.probe()
    const own = [...(seen?.pgParameters ?? [])].filter(([name]) => !managed.has(name))
    keeper.found =
      seen === null ? state : { ...state, ...seen, pgParameters: new Map(own), healthy: true }
  } catch {
    keeper.found = state
  }
}
async function publish(keeper: Keeper): Promise<void> {
  const { ports, settings, keeperState, found } = keeper
  if (keeperState.ClusterUID === "") return
  const info = make(GoKeeperInfo, {
    infoUID: ports.chance.uid(),
    uid: settings.uid,
    clusterUID: keeperState.ClusterUID,
    bootUUID: keeper.boot,
    postgresBinaryVersion: { ...keeper.machine.version },
    postgresState: found,
    canBeMaster: true,
    canBeSynchronousReplica: true,
  })
  await ports.store.publishKeeper(info, keeper.sleep, keeper.signal)
}

/** K1 to K15. */
async function iterate(keeper: Keeper): Promise<void> {
  const { ports, machine, settings } = keeper
  const data = readGo((await ports.store.read(keeper.signal)).text)
  if (data === null || data.formatVersion !== 1 || invalid(data) !== null) return // K1
  const spec = filled(data.cluster.spec)
  keeper.sleep = spec.sleep
  if (keeper.keeperState.ClusterUID !== data.cluster.uid) await saveKeeper(keeper, data.cluster.uid)
  const known = data.keepers.get(settings.uid)
  if (known === undefined) return // K3
  const db = [...data.dbs.values()].find((each) => each.spec.keeperUID === settings.uid)
  if (db === undefined || known.status.bootUUID !== keeper.boot) return machine.stop() // K4, K5
  const turn: Turn = { data, db, spec }
  if (keeper.dbState.Initializing) {
    await machine.stop() // K6
    await machine.remove()
    await saveDB(keeper, make(GoDBState))
  }
  if (keeper.dbState.UID !== db.uid && !(await bring(keeper, turn))) return
  if (!(await machine.isInitialized())) throw new Error("database is not initialized")
  const steady =
    db.spec.role === "master" ? await asMaster(keeper, turn) : await asStandby(keeper, turn)
  if (!steady) return
  await settle(keeper, turn)
  if (keeper.dbState.Generation !== db.generation || keeper.dbState.Initializing)
    await saveDB(keeper, { Generation: db.generation, Initializing: false }) // K15
}

/** K7: another DB than before. False: nothing more can be done in this iteration. */
async function bring(keeper: Keeper, turn: Turn): Promise<boolean> {
  const { machine, ports } = keeper
  const { db, spec } = turn
  const fresh = { UID: db.uid, Generation: 0, InitPGParameters: null }
  keeper.guard = false
  keeper.applied = nothing
  switch (db.spec.initMode) {
    case "new":
      await saveDB(keeper, { ...fresh, Initializing: true })
      await machine.stop()
      await machine.remove()
      await machine.initdb(db.spec.newConfig)
      await machine.start(temporary(keeper, turn))
      await machine.waitReady(spec.ready)
      if (db.spec.includePreviousConfig)
        await saveDB(keeper, { InitPGParameters: await machine.fileParameters() })
      await machine.setUpRoles()
      await machine.stop()
      return true
    case "existing":
      await saveDB(keeper, { ...fresh, Initializing: false })
      await machine.stop()
      await machine.start(temporary(keeper, turn))
      await machine.waitReady(spec.ready)
      if (db.spec.includePreviousConfig)
        await saveDB(keeper, { InitPGParameters: await machine.fileParameters() })
      await machine.stop()
      return true
    case "resync":
      await resync(keeper, turn)
      return true
    case "none":
      ports.log("current db UID different than cluster data db UID, but initMode is none")
      return false
    default:
      throw new Error(`unknown init mode ${db.spec.initMode}`)
  }
}

const temporary = (keeper: Keeper, { db }: Turn): string =>
  confText(parameters(db, null, keeper.settings), null)

/** 6.4: pg_rewind where it may be, else PGDATA is deleted and copied. */
async function resync(keeper: Keeper, turn: Turn): Promise<void> {
  const { machine, ports } = keeper
  const { data, db, spec } = turn
  await saveDB(keeper, { UID: db.uid, Generation: 0, Initializing: true, InitPGParameters: null })
  await machine.stop()
  const followed = data.dbs.get(db.spec.followConfig?.dbuid ?? "")
  if (followed === undefined) throw new Error("no db object to follow")
  const master = data.dbs.get(data.cluster.status.master)
  const initialized = await machine.isInitialized()
  const alike = initialized && (await machine.systemID()) === followed.status.systemdID
  const tries = alike && master !== undefined
  let rewound = false
  if (tries && db.spec.usePgrewind)
    try {
      await machine.rewind(sourceOf(master))
      rewound = true
    } catch (error) {
      ports.log(`pg_rewind failed: ${String(error)}`)
    }
  if (!rewound) await copy(keeper, turn, followed)
  await machine.write(files(keeper, turn))
  await machine.start(null)
  if (!tries) return
  const ok = await machine.waitReady(spec.ready).then(
    () => machine.probe(),
    () => null,
  )
  const own = ok === null ? null : { ...followed.status, ...ok }
  if (own !== null && !otherBranch(followed.status, own)) return
  await machine.stop()
  await copy(keeper, turn, followed)
}

const sourceOf = ({ status }: GoDB): GoSource => ({ host: status.listenAddress, port: status.port })

async function copy({ machine }: Keeper, { db }: Turn, followed: GoDB): Promise<void> {
  await machine.remove() // before it is known whether the copy works (D-08)
  await machine.baseBackup(sourceOf(followed), `stolon_${db.uid}`)
}

/** What is to be in the files now. */
function files(keeper: Keeper, turn: Turn, signal?: "none" | "standby") {
  const { settings, dbState, guard } = keeper
  const { data, db } = turn
  const recover = recovery(data, db, settings)
  return {
    conf: confText(parameters(db, dbState.InitPGParameters, settings), recover),
    hba: hbaText(data, db, settings, guard),
    signal: signal ?? (recover === null ? ("none" as const) : ("standby" as const)),
  }
}

const recoveryText = ({ settings }: Keeper, { data, db }: Turn): string =>
  confText(new Map(), recovery(data, db, settings))

async function write(keeper: Keeper, turn: Turn, signal?: "none" | "standby"): Promise<void> {
  const now = files(keeper, turn, signal)
  await keeper.machine.write(now)
  keeper.applied = { conf: now.conf, hba: now.hba, recovery: recoveryText(keeper, turn) }
}

async function begin(keeper: Keeper, turn: Turn, signal?: "none" | "standby"): Promise<void> {
  await write(keeper, turn, signal)
  await keeper.machine.start(null)
}

/** K9. */
async function asMaster(keeper: Keeper, turn: Turn): Promise<boolean> {
  const { machine, ports } = keeper
  const standby = await machine.isStandby()
  if (!(await machine.isRunning())) {
    if (turn.db.spec.synchronousReplication) {
      keeper.guard = true
      ports.log("not allowing connection as normal users since synchronous replication is enabled")
    }
    await begin(keeper, turn, standby ? "standby" : "none")
    await machine.waitReady(turn.spec.ready)
  }
  if (standby) {
    await machine.promote() // the names are loaded by a later reload (D-03)
    await machine.write(files(keeper, turn))
  }
  await refreshSlots(keeper, turn) // an error ends the iteration (D-05)
  return true
}

/** K10. */
async function asStandby(keeper: Keeper, turn: Turn): Promise<boolean> {
  const { machine, ports } = keeper
  if (!(await machine.isStandby())) {
    ports.log("cannot move from master role to standby role") // G8
    return false
  }
  if (!(await machine.isRunning())) await begin(keeper, turn)
  else if (keeper.applied.recovery !== recoveryText(keeper, turn)) {
    await machine.stop()
    await begin(keeper, turn)
  }
  await refreshSlots(keeper, turn).catch((error: unknown) => ports.log(String(error)))
  return true
}

/** 6.5. */
async function refreshSlots({ machine }: Keeper, { db }: Turn): Promise<void> {
  const names = [...(db.spec.followers ?? []), ...(db.spec.additionalReplicationSlots ?? [])]
  const wanted = names.filter((name) => name !== db.uid).map((name) => `stolon_${name}`)
  const present = await machine.slots()
  for (const name of present.toSorted(byText))
    if (name.startsWith("stolon_") && !wanted.includes(name))
      await machine.dropSlot(name).catch(() => {})
  for (const name of wanted) if (!present.includes(name)) await machine.createSlot(name)
}

/** K11 to K14. */
async function settle(keeper: Keeper, turn: Turn): Promise<void> {
  const { machine, ports, applied } = keeper
  const { db, spec } = turn
  const sync = (keeper.found?.synchronousStandbys ?? []).toSorted(byText).join()
  const wanted = (db.spec.synchronousStandbys ?? []).join()
  if (!db.spec.synchronousReplication || sync === wanted) keeper.guard = false // D-07
  const now = files(keeper, turn)
  if (now.conf !== applied.conf)
    ports.log("postgres parameters changed, reloading postgres instance")
  if (now.conf !== applied.conf || now.hba !== applied.hba) {
    await write(keeper, turn)
    await machine.reload()
  }
  if (!spec.automaticPgRestart || !(await machine.pendingRestart().catch(() => false))) return
  await machine.stop() // all nodes at once, and nobody waits for it (D-46)
  await begin(keeper, turn)
}
