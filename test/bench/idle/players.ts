/**
 * A process that plays keepers to the store: each with a client of its own, reading the view when
 * it changes and at every beat, publishing what a keeper of a healthy PostgreSQL publishes, as
 * often as one does. There is no PostgreSQL. Documents are decoded once for all of them, or this
 * process would be what is measured.
 *
 * It obeys lines: `sample` changes what one standby says of itself and prints, as JSON, after how
 * many milliseconds each of the keepers has read it in the view.
 */
import * as v from "valibot"
import { bell, forever } from "#agent/loop.ts"
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { lsn } from "#base/lsn.ts"
import { type ClusterData, decodeClusterData } from "#model/cluster.ts"
import { decode } from "#model/codec.ts"
import { generation, infoUID, keeperUID } from "#model/ids.ts"
import { KeeperInfo, PostgresState, capabilities } from "#model/info.ts"
import { emptySpec, withDefaults } from "#model/spec.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { keysOf } from "#store/keys.ts"
import type { KeyValue } from "#store/keyvalue.ts"
import { openKeyValue } from "#store/open.ts"
import { storeOver } from "#store/store.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { countTransactions } from "./counter.ts"

countTransactions()

const never = new AbortController().signal
const silent = { event: () => {} }
const ttl = millis(20_000)
/** All but promises, for which they would need an endpoint. */
const advertised = [
  capabilities.certificate,
  capabilities.obeysMaster,
  capabilities.wishes,
  capabilities.lease,
  capabilities.switchover,
  capabilities.detach,
]

interface Player {
  readonly uid: ReturnType<typeof keeperUID>
  readonly kv: KeyValue
  readonly store: Store
  readonly wake: ReturnType<typeof bell>
  readonly news: ReturnType<typeof bell>
  synchronous: boolean
  /** The generation last published. */
  told: number
}

/** The last document that anybody read. */
let known: { readonly text: string; readonly data: ClusterData } | null = null
/** What is waited for, and who has read it, when. */
let sample: { readonly uid: string; readonly wanted: boolean; readonly seen: Map<string, number> }
let sampled = (): void => {}

function documentOf(text: string): ClusterData {
  if (known?.text !== text) {
    const data = decodeClusterData(text)
    if (data === null) throw new Error("there is no cluster data")
    known = { text, data }
  }
  return known.data
}

const dbOf = (data: ClusterData | null, uid: string) =>
  [...(data?.dbs.values() ?? [])].find(({ spec }) => spec.keeperUID === uid)

function infoOf(player: Player): KeeperInfo {
  const data = known?.data ?? null
  const db = dbOf(data, player.uid)
  const isPrimary = db !== undefined && db.uid === data?.cluster.status.master
  const state: PostgresState = {
    ...decode(PostgresState, "{}"),
    ...(db === undefined ? {} : { uid: db.uid, generation: generation(db.generation) }),
    listenAddress: "127.0.0.1",
    port: "5432",
    healthy: db !== undefined,
    systemID: "7342839472839472839",
    timelineID: 1,
    xLogPos: lsn(50_331_648n),
    pgParameters: new Map(),
    synchronousStandbys: isPrimary ? (db.spec.synchronousStandbys ?? []) : [],
    olderWalFile: isPrimary ? "000000010000000000000001" : "",
    inRecovery: !isPrimary,
    streaming: !isPrimary,
    acceptsClients: true,
    walSegmentSize: 16_777_216,
  }
  return {
    ...decode(KeeperInfo, `{"postgresBinaryVersion":{"Maj":15,"Min":14}}`),
    infoUID: infoUID(realChance.uid()),
    uid: player.uid,
    ...(data === null ? {} : { clusterUID: data.cluster.uid }),
    bootUUID: decode(KeeperInfo, `{"bootUUID":"0c6b62f3-8d0e-4e0f-9f7c-${player.uid}"}`).bootUUID,
    postgresState: state,
    canBeMaster: true,
    canBeSynchronousReplica: player.synchronous,
    capabilities: advertised,
  }
}

async function publish(player: Player): Promise<void> {
  const info = infoOf(player)
  player.told = info.postgresState?.generation ?? 0
  await player.store.publish({ kind: "keeper", info }, ttl, never)
}

async function look(player: Player, key: string): Promise<ClusterData | null> {
  const entry = await player.kv.get(key, never)
  if (entry === null) return null
  const data = documentOf(entry.value)
  const { uid, wanted, seen } = sample
  const said = data.keepers.get(keeperUID(uid))?.status.canBeSynchronousReplica
  if (uid !== "" && said === wanted && !seen.has(player.uid)) {
    seen.set(player.uid, performance.now())
    sampled()
  }
  if ((dbOf(data, player.uid)?.generation ?? player.told) !== player.told) player.news.ring()
  return data
}

const spec = () => withDefaults(known?.data.cluster.spec ?? emptySpec)
const beat = (): Millis => millis(Math.max(100, toMillis(spec().sleepInterval)))
const renewEvery = (): Millis => millis(Math.max(100, (toMillis(spec().failInterval) - 500) / 3))

function play(player: Player, key: string): void {
  const { wake, news, store } = player
  const loop = (round: () => Promise<void>, pause: () => Promise<void>) =>
    void forever(round, pause, silent, never)
  loop(
    async () => void (await look(player, key)),
    () => wake.wait(realClock, beat(), never),
  )
  loop(
    () => publish(player),
    () => news.wait(realClock, beat(), never),
  )
  loop(
    () => store.watch("clusterdata", () => wake.ring(), never),
    () => realClock.sleep(millis(1000), never),
  )
  // a primary renews its lease: a publish, then a read, three times in a lease
  loop(
    async () => {
      if (dbOf(known?.data ?? null, player.uid)?.uid !== known?.data.cluster.status.master) return
      await publish(player)
      await look(player, key)
    },
    () => realClock.sleep(renewEvery(), never),
  )
}

async function takeSample(players: readonly Player[]): Promise<void> {
  const { master } = known?.data.cluster.status ?? {}
  const standbys = players.filter(({ uid }) => dbOf(known?.data ?? null, uid)?.uid !== master)
  const one = standbys[Math.floor(Math.random() * standbys.length)]
  if (one === undefined) throw new Error("there is no standby")
  one.synchronous = !one.synchronous
  sample = { uid: one.uid, wanted: one.synchronous, seen: new Map() }
  const all = Promise.withResolvers<void>()
  sampled = () => {
    if (sample.seen.size === players.length) all.resolve()
  }
  const start = performance.now()
  one.news.ring()
  await all.promise
  console.log(JSON.stringify([...sample.seen.values()].map((at) => at - start)))
}

const argument = v.parse(
  v.object({ keepers: v.number(), settings: v.custom<StoreSettings>(() => true) }),
  JSON.parse(process.argv[2] ?? ""),
)
sample = { uid: "", wanted: false, seen: new Map() }
const { settings } = argument
const key = keysOf(settings.prefix, settings.clusterName).clusterData
const players: Player[] = []
for (let i = 1; i <= argument.keepers; i++) {
  const kv = await openKeyValue(settings, never)
  const uid = keeperUID(`played${String(i).padStart(3, "0")}`)
  const store = storeOver(kv, settings)
  const bells = { wake: bell(), news: bell() }
  players.push({ uid, kv, store, ...bells, synchronous: true, told: 0 })
}
// As keepers of many machines they do not beat all in one moment
for (const player of players) {
  play(player, key)
  await Bun.sleep(1000 / players.length)
}
console.log("playing")
for await (const line of console) if (line === "sample") await takeSample(players)
