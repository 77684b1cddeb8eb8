/**
 * The scripted leader against recordings of the real one: from document n and the infos that
 * document n+1 implies, it must write the decisions of document n+1: specs, generations, roles,
 * proxy, who is healthy. Positions and times are inputs, and Go's chance (D-25) may fall any way: a
 * recorded decision is explained when some seed leads to it.
 */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { Glob } from "bun"
import { generator } from "#base/random.ts"
import { make } from "./codec.ts"
import {
  type GoData,
  type GoKeeperInfo,
  GoKeeperInfo as Info,
  GoProxyInfo,
  readGo,
  writeGo,
} from "./documents.ts"
import { type GoInfos, type GoMemory, check, newGoMemory } from "./leader.ts"

const root = `${import.meta.dir}/../golden/store`
const read = (file: string): GoData => {
  const data = readGo(readFileSync(`${root}/${file}`, "utf8"))
  if (data === null) throw new Error(`${file} is null`)
  return data
}
const mono = 10_000_000

/** What no document tells of the time between two of them. */
interface How {
  /** Every proxy acknowledged the generation before. */
  readonly acknowledged: boolean
  /** A DB that the round removed had gone on writing on its own branch. */
  readonly strayed: boolean
}
const hows: readonly How[] = [
  { acknowledged: true, strayed: false },
  { acknowledged: false, strayed: false },
  { acknowledged: true, strayed: true },
]

/** What the keepers and proxies must have published for `to` to follow on `from`. */
function implied(from: GoData, to: GoData, how: How): GoInfos {
  const keepers = new Map<string, GoKeeperInfo>()
  for (const { uid, status } of to.keepers.values()) {
    if (!status.healthy && from.keepers.get(uid)?.status.forceFail !== true) continue
    // a DB that the round itself removed was still reported
    const was = [...from.dbs.values()].find(({ spec }) => spec.keeperUID === uid)
    const state = was === undefined ? null : stateOf(to.dbs.get(was.uid) ?? was, was)
    if (state !== null && how.strayed && !to.dbs.has(state.uid)) state.xLogPos += 1n << 32n
    keepers.set(
      uid,
      make(Info, {
        infoUID: "fresh",
        uid,
        clusterUID: to.cluster.uid,
        bootUUID: status.bootUUID,
        postgresBinaryVersion: status.postgresBinaryVersion,
        canBeMaster: status.canBeMaster,
        canBeSynchronousReplica: status.canBeSynchronousReplica,
        postgresState: state,
      }),
    )
  }
  const same = from.proxy.spec.masterDbUid === to.proxy.spec.masterDbUid
  const uids = (same ? to : from).proxy.spec.enabledProxies ?? []
  const proxies = new Map(
    uids.map((UID) => {
      const Generation = from.proxy.generation - (how.acknowledged ? 0 : 1)
      return [UID, make(GoProxyInfo, { infoUID: "fresh", UID, Generation, ProxyTimeout: 15e9 })]
    }),
  )
  return { keepers, proxies }
}

function stateOf(
  { uid, status }: ReturnType<typeof dbOf>,
  was: ReturnType<typeof dbOf>,
): GoKeeperInfo["postgresState"] {
  return {
    uid,
    generation: status.currentGeneration,
    listenAddress: status.listenAddress,
    port: status.port,
    // what a sick DB last said stays in the document
    healthy: status.systemdID !== "" && (status.healthy || was.status.systemdID === ""),
    systemID: status.systemdID,
    timelineID: status.timelineID,
    xLogPos: status.xLogPos,
    timelinesHistory: status.timelinesHistory,
    pgParameters: status.pgParameters,
    synchronousStandbys: status.synchronousStandbys,
    olderWalFile: status.olderWalFile,
  }
}
const dbOf = (data: GoData): GoData["dbs"] extends Map<string, infer D> ? D : never => {
  const [db] = data.dbs.values()
  if (db === undefined) throw new Error("no db")
  return db
}

/** A leader that has been watching; who is unhealthy afterwards has been silent for long. */
function watching(from: GoData, to: GoData): GoMemory {
  const memory = newGoMemory()
  memory.firstRun = false
  for (const { uid, status } of to.keepers.values())
    if (!status.healthy) memory.keeperErrors.set(uid, 0)
  for (const { uid, status } of [...to.dbs.values(), ...from.dbs.values()])
    if (!(to.dbs.get(uid)?.status ?? status).healthy) memory.dbErrors.set(uid, 0)
  for (const { uid, generation, status } of from.dbs.values()) {
    const given = to.dbs.has(uid) || from.cluster.status.phase === "normal"
    if (status.currentGeneration !== generation)
      memory.convergence.set(uid, { generation, timer: given ? mono : 0 })
  }
  return memory
}

/** What was decided, without what was only carried over. */
const decisions = (data: GoData): unknown => ({
  cluster: { spec: data.cluster.spec, status: data.cluster.status },
  keepers: [...data.keepers.values()].map(({ uid, status }) => [
    uid,
    status.healthy,
    status.forceFail,
  ]),
  dbs: [...data.dbs.values()].map(({ uid, generation, spec, status }) => ({
    uid,
    generation,
    spec,
    sync: status.synchronousStandbys,
    healthy: status.healthy,
  })),
  proxy: { generation: data.proxy.generation, spec: data.proxy.spec },
})

/** Draws by `seed`, but names new DBs as the recording does. */
function chance(seed: number, from: GoData, to: GoData) {
  const names = [...to.dbs.keys()].filter((uid) => !from.dbs.has(uid))
  if (seed % 2 === 1) names.reverse()
  const random = generator(seed)
  return { ...random, uid: () => names.shift() ?? random.uid() }
}

function replay(from: GoData, to: GoData): { readonly wrote: readonly unknown[] } {
  const wrote: unknown[] = []
  for (const how of hows)
    for (let seed = 0; seed < 12; seed++) {
      const memory = watching(from, to)
      const now = { mono, wall: to.changeTime }
      const infos = implied(from, to, how)
      const result = check(writeGo(from), infos, memory, now, chance(seed, from, to))
      const out = result.kind === "write" ? readGo(result.text) : null
      wrote.push(out === null ? result : decisions(out))
    }
  return { wrote }
}

describe("the scripted leader writes what the recorded one wrote", () => {
  const runs = new Map<string, string[]>()
  for (const file of [...new Glob("*/[0-9][0-9].json").scanSync(root)].toSorted()) {
    const [run = ""] = file.split("/")
    runs.set(run, [...(runs.get(run) ?? []), file])
  }
  for (const files of runs.values())
    for (const [i, file] of files.slice(1).entries()) {
      const [from, to] = [read(files[i] ?? ""), read(file)]
      if (from.changeTime === to.changeTime) continue // stolonctl wrote it
      test(`as recorded: ${file}`, () => {
        const wanted = decisions(to)
        const { wrote } = replay(from, to)
        if (!wrote.some((each) => Bun.deepEquals(each, wanted))) expect(wrote[0]).toEqual(wanted)
      })
    }
})
