/**
 * A scripted Go keeper's machine on the model PostgreSQL. The steps are those of the simulator, put
 * together Go's way: PGDATA is removed first and filled in place, a reload is not waited for.
 */
import { millis } from "#base/brand.ts"
import { type ClusterUID, dbUID, generation, keeperUID } from "#model/ids.ts"
import type { Step } from "#model/step.ts"
import { GoDBState, GoKeeperState } from "#test/peers/documents.ts"
import { make, marshal, unmarshal } from "#test/peers/codec.ts"
import type { GoMachine, GoSource } from "#test/peers/machine.ts"
import { readConf } from "#test/sim/conf.ts"
import type { Disk } from "#test/sim/disk.ts"
import type { Host } from "#test/sim/host.ts"
import { observeHost } from "#test/sim/observe.ts"
import { reload } from "#test/sim/server.ts"
import { runStep } from "#test/sim/steps.ts"
import type { Process } from "#test/sim/world.ts"

const stopTime = millis(60_000) // pg_ctl's own patience

export function simMachine(host: Host, process: Process, signal: AbortSignal): GoMachine {
  const { world, disk } = host
  host.keeper = null // one of ours that was here before is gone, and Go's holds no guardian
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => void world.at(ms, process, resolve))
  const step = (one: Step): Promise<void> =>
    runStep(one, { host, process, progress: () => {}, signal, pause })
  const up = () => {
    const local = observeHost(host, { uid: keeperUID(""), clusterUID: "" as ClusterUID }) // unused
    if (local.server.kind !== "up") throw new Error("could not connect to server")
    return local.server
  }
  const data = () => {
    if (disk.data === null) throw new Error("PGDATA is missing")
    return disk.data
  }
  const fill = async (from: GoSource | null, slot: string): Promise<void> => {
    disk.side = null
    try {
      if (from === null) await step({ kind: "initdb", config: null })
      else await step({ kind: "clone", from: { db: dbUID(""), ...from }, slot })
      await step({ kind: "swap-in" })
    } finally {
      disk.side = null // it was PGDATA itself that was being filled
    }
  }
  return {
    version: { Maj: 15, Min: 0 },
    load: async (file) => (file === "dbstate" ? dbText(disk) : keeperText(disk)),
    async save(file, text) {
      await pause(2)
      if (file === "dbstate") saveDB(disk, text)
      else saveKeeper(disk, text)
    },
    isInitialized: async () => disk.data !== null && disk.data.half === null,
    isStandby: async () => data().signal === "standby",
    systemID: async () => data().systemID,
    isRunning: async () => host.instance !== null,
    async write({ conf, hba, signal: file }) {
      await pause(2)
      Object.assign(data(), { conf, hba, signal: file })
    },
    start: (temporary) => step({ kind: "start", temporary }),
    waitReady: (ms) => step({ kind: "wait-ready", timeout: millis(ms) }),
    stop: () => step({ kind: "stop", why: "Go", escalateAfter: stopTime, checkpoint: false }),
    async reload() {
      if (host.instance !== null) reload(host.instance)
    },
    promote: () => step({ kind: "promote", timeout: stopTime }),
    async remove() {
      await pause(20)
      if (host.instance !== null) throw new Error("PGDATA is in use")
      disk.data = null
    },
    initdb: () => fill(null, ""),
    setUpRoles: () => step({ kind: "create-roles" }),
    fileParameters: async () => new Map(up().fileParameters),
    baseBackup: (from, slot) => fill(from, slot),
    rewind: (from) => step({ kind: "rewind", source: { db: dbUID(""), ...from } }),
    async probe() {
      await pause(5)
      const server = up()
      return {
        systemID: server.systemID,
        timelineID: server.timeline,
        xLogPos: server.position,
        timelinesHistory:
          server.timeline > 1 ? server.history.slice(-2).map((h) => ({ ...h })) : null,
        pgParameters: new Map(server.fileParameters),
        synchronousStandbys: [...server.syncStandbys],
        olderWalFile: server.olderWalFile,
      }
    },
    slots: async () => up().slots.map(({ name }) => name),
    createSlot: (name) => step({ kind: "create-slot", name, reserve: false }),
    dropSlot: (name) => step({ kind: "drop-slot", name }),
    async pendingRestart() {
      const { instance } = host
      const fixed = ["max_connections", "max_wal_senders", "max_replication_slots", "wal_level"]
      const now = readConf(data().conf).all
      return (
        instance !== null && fixed.some((name) => now.get(name) !== instance.started.all.get(name))
      )
    },
  }
}

/** The model keeps the files' meaning; Go reads and writes their text. */
const keeperText = ({ keeper }: Disk): string | null =>
  keeper === null
    ? null
    : marshal(GoKeeperState, { UID: keeper.uid, ClusterUID: keeper.clusterUID })
function saveKeeper(disk: Disk, text: string): void {
  const { UID, ClusterUID } = unmarshal(GoKeeperState, text)
  disk.keeper = { uid: keeperUID(UID), clusterUID: ClusterUID as ClusterUID } // minted from a file
}
const dbText = ({ db }: Disk): string | null =>
  db === null
    ? null
    : marshal(GoDBState, {
        ...make(GoDBState),
        UID: db.uid,
        Generation: db.generation,
        Initializing: db.initializing,
        InitPGParameters: db.initPGParameters === null ? null : new Map(db.initPGParameters),
      })
function saveDB(disk: Disk, text: string): void {
  const state = unmarshal(GoDBState, text)
  disk.db = {
    uid: dbUID(state.UID),
    generation: generation(state.Generation),
    initializing: state.Initializing,
    initPGParameters: state.InitPGParameters,
  }
}
