/**
 * The model's answer to "what is on this machine": the same value that the real adapter puts
 * together from files, processes and one look into PostgreSQL.
 */
import { lsn } from "#base/lsn.ts"
import { sortedSet } from "#base/order.ts"
import type { DBUID } from "#model/ids.ts"
import { dbUID, generation, slotPrefix } from "#model/ids.ts"
import type { TimelineHistory } from "#model/cluster.ts"
import type { ConfigFiles, Control, DataDir, KeeperState, Local, Server } from "#model/local.ts"
import type { Settings } from "./conf.ts"
import type { Dir } from "./disk.ts"
import { type Host, noRoom } from "./host.ts"
import { syncNow, syncState } from "./replication.ts"
import type { Instance } from "./server.ts"
import { type Fork, endOf, historyOf, segmentSize } from "./wal.ts"

const noDB: Local["db"] = {
  uid: dbUID(""),
  generation: generation(0),
  initializing: false,
  initPGParameters: null,
}

const histories = new WeakMap<readonly Fork[], readonly TimelineHistory[]>()
const history = ({ wal }: Dir): readonly TimelineHistory[] => {
  const known = histories.get(wal.history)
  if (known !== undefined) return known
  const made = historyOf(wal)
  histories.set(wal.history, made)
  return made
}

export function observeHost(host: Host, keeper: KeeperState): Local {
  const { disk, instance, machine } = host
  return {
    keeper: disk.keeper ?? keeper,
    db: disk.db ?? noDB,
    mark: disk.mark,
    data: dataDir(disk.data, instance),
    side: disk.side !== null,
    asides: disk.asides
      .filter(({ dir }) => dir.systemID === disk.data?.systemID)
      .map(({ name }) => name),
    files: configFiles(disk.data),
    postmaster: instance !== null,
    asked: instance === null && host.asked,
    server: instance === null ? { kind: "down" } : server(instance),
    binary: { Maj: 15, Min: 0 },
    unfit: [],
    floors: null,
    walSegmentBytes: null,
    diskBytes: null,
    unwritable: machine.full && instance?.inRecovery === false ? noRoom : null,
    certificate: disk.certificate,
    handled: disk.handled,
    fencing: disk.fencing,
    promise: disk.promise,
  }
}

const configFiles = (dir: Dir | null): ConfigFiles | null =>
  dir === null ? null : { conf: dir.conf, hba: dir.hba, signal: dir.signal }

function dataDir(dir: Dir | null, instance: Instance | null): DataDir {
  if (dir === null) return { kind: "missing" }
  if (dir.half === "init" || dir.half === "copy") return { kind: "partial" }
  return {
    kind: "initialized",
    role: dir.signal === "standby" ? "standby" : "master",
    systemID: dir.systemID,
    major: 15,
    control: instance === null ? control(dir) : null,
    newest: dir.wal.highest,
    history: history(dir),
  }
}

const control = (dir: Dir): Control => ({
  systemID: dir.systemID,
  state: dir.state,
  checkpoint: lsn(BigInt(dir.checkpoint)),
  timeline: dir.controlTimeline,
  minRecoveryEnd: lsn(BigInt(dir.minRecoveryEnd)),
  checksums: dir.checksums,
  walLogHints: dir.hints,
})

function server(instance: Instance): Server {
  const { dir, settings, phase, process, started } = instance
  if (phase === "stopping") return { kind: "starting", why: "the database system is shutting down" }
  if (phase !== "up" || process.state !== "running")
    return { kind: "starting", why: "the database system is starting up" }
  const active = new Set([...instance.standbys].map(({ slot }) => slot))
  return {
    kind: "up",
    inRecovery: instance.inRecovery,
    systemID: dir.systemID,
    timeline: dir.wal.timeline,
    position: lsn(BigInt(endOf(dir.wal))),
    replayed: lsn(instance.inRecovery ? BigInt(endOf(dir.wal)) : 0n),
    history: history(dir),
    syncStandbys: ours(instance.inRecovery ? [] : caughtUp(instance)),
    streaming: instance.upstream !== null,
    revision: settings.revision,
    pendingRestart: pendingRestart(instance),
    slots: sortedSet(dir.slots).map((name) => ({ name, active: active.has(name), lost: false })),
    slotsUsed: dir.slots.size,
    place: {
      listenAddress: started.all.get("listen_addresses") ?? "",
      port: started.port,
      socketDirectory: started.all.get("unix_socket_directories") ?? "/tmp",
    },
    segmentBytes: segmentSize,
    fileParameters: settings.all,
    olderWalFile: `${hex8(dir.wal.timeline)}00000000${hex8(Math.floor(dir.walFrom / segmentSize))}`,
  }
}

const hex8 = (n: number): string => n.toString(16).toUpperCase().padStart(8, "0")

const ours = (names: readonly string[]): readonly DBUID[] =>
  names
    .filter((name) => name.startsWith(slotPrefix))
    .map((name) => dbUID(name.slice(slotPrefix.length)))

/** Parameters of the generated file that only a restart brings into force. */
const needRestart = [
  "max_connections",
  "max_wal_senders",
  "max_replication_slots",
  "wal_level",
  "wal_log_hints",
  "listen_addresses",
  "port",
  "shared_buffers",
] as const

const pendingRestart = ({
  started,
  settings,
}: {
  started: Settings
  settings: Settings
}): boolean =>
  started !== settings &&
  needRestart.some((name) => started.all.get(name) !== settings.all.get(name))

/**
 * Connected and named is not enough: it must have what was acknowledged before its name counted.
 */
const caughtUp = (instance: Instance): readonly string[] =>
  syncNow(instance).filter(
    (name) => (syncState(instance, name)?.confirmed ?? -1) >= instance.inForceFrom,
  )
