/**
 * A Go leader's phase `normal`: reference 5.7 (N1 to N20) and 5.8 (S0 to S4) in their order. A
 * promotion and the closing of the gate are one write here (D-78), the gate opens to whoever was
 * elected as soon as the proxies have acknowledged (D-04), and with no proxies the generation grows
 * at every check (D-33).
 */
import { byText } from "#base/order.ts"
import { make } from "./codec.ts"
import { type GoDB, type GoProxyInfo, GoDBSpec } from "./documents.ts"
import { GoDB as GoDBShape } from "./documents.ts"
import {
  bestNewMasters,
  bestStandbys,
  canSync,
  convergence,
  external,
  isMaster,
  isSync,
  listed,
  validity,
} from "./judge.ts"
import type { GoRound } from "./leader.ts"

const fake = "stolonfakestandby"

/** An error, or null. */
export function normal(round: GoRound, active: readonly GoProxyInfo[]): string | null {
  const { data, spec } = round
  forget(round)
  const before = data.dbs.get(data.cluster.status.master)
  if (before === undefined)
    return `db for keeper "${data.cluster.status.master}" not available. This shouldn't happen!`
  const bad = !before.status.healthy || convergence(round, before, spec.convergence) === "failed"
  const elected = bad ? elect(round, before) : null
  if (elected !== null) promote(round, before, elected)
  else {
    gate(round, before, active)
    if (spec.role === "master") {
      before.spec.role = "master"
      before.spec.followConfig = null
    }
    if (before.status.healthy && convergence(round, before, spec.convergence) === "converged")
      keep(round, before)
  }
  followers(round, before)
  return null
}

/** N1. */
function forget({ data, spec, wall }: GoRound): void {
  const assigned = new Set([...data.dbs.values()].map((db) => db.spec.keeperUID))
  for (const { uid, status } of data.keepers.values()) {
    const age = Date.parse(wall) - Date.parse(status.lastHealthyTime)
    if (!assigned.has(uid) && age > spec.removal) data.keepers.delete(uid)
  }
}

/** N3. */
function elect(round: GoRound, old: GoDB): GoDB | null {
  const candidates = bestNewMasters(round, old)
  if (candidates.length === 0) round.log.push("no eligible masters")
  if (!old.spec.synchronousReplication) return candidates[0] ?? null
  const common = (old.status.synchronousStandbys ?? []).filter((uid) =>
    old.spec.synchronousStandbys?.includes(uid),
  )
  return candidates.find(({ uid }) => common.includes(uid)) ?? null
}

/** N4. */
function promote(round: GoRound, old: GoDB, db: GoDB): void {
  const { data, spec } = round
  old.spec.followers = []
  data.cluster.status.master = db.uid
  const outside = spec.role === "standby"
  db.spec.role = outside ? "standby" : "master"
  db.spec.followConfig = outside ? external(spec) : null
  if (data.proxy.spec.masterDbUid !== "") {
    data.proxy.spec.masterDbUid = ""
    data.proxy.generation++
  }
  if (!isSync(round)) return asynchronous(db)
  const list = (old.spec.synchronousStandbys ?? []).map((uid) => (uid === db.uid ? old.uid : uid))
  db.spec.synchronousReplication = true
  db.spec.synchronousStandbys = list.toSorted(byText)
  db.spec.externalSynchronousStandbys =
    list.length === 0 && spec.minSynchronousStandbys > 0 ? [fake] : []
}

function asynchronous(db: GoDB): void {
  db.spec.synchronousReplication = false
  db.spec.synchronousStandbys = null
  db.spec.externalSynchronousStandbys = null
}

/** N5. */
function gate({ data, log }: GoRound, master: GoDB, active: readonly GoProxyInfo[]): void {
  const { proxy } = data
  if (proxy.spec.masterDbUid === "") {
    if (active.some(({ Generation }) => Generation !== proxy.generation))
      return void log.push("waiting for proxies to be converged to the current generation")
    proxy.spec.masterDbUid = master.uid
    proxy.generation++
    return
  }
  const enabled = active.map(({ UID }) => UID).toSorted(byText)
  const known = proxy.spec.enabledProxies
  // nil against an empty list: they differ, for ever (D-33)
  if (known !== null && known.join() === enabled.join()) return
  proxy.spec.enabledProxies = enabled
  proxy.generation++
}

/** N8 to N15. */
function keep(round: GoRound, master: GoDB): void {
  const { data, memory } = round
  const drop = (unwanted: (db: GoDB) => boolean): void => {
    for (const db of [...data.dbs.values()])
      if (db.uid !== master.uid && unwanted(db)) data.dbs.delete(db.uid)
  }
  drop(isMaster)
  drop((db) => validity(round, db) === "invalid")
  drop((db) => !canSync(round, db))
  for (const db of listed(round, "good", false)) db.spec.initMode = "none"
  if (isSync(round)) synchronous(round, master, memory.current.get(master.uid) ?? [])
  else {
    asynchronous(master)
    master.status.synchronousStandbys = null
  }
  count(round, master)
  for (const db of data.dbs.values()) {
    if (isMaster(db)) continue
    db.spec.role = "standby"
    db.spec.followers = []
    db.spec.followConfig = follow(master.uid)
    asynchronous(db)
  }
}

const follow = (dbuid: string): NonNullable<GoDBSpec["followConfig"]> => ({
  type: "internal",
  dbuid,
  standbySettings: null,
  archiveRecoverySettings: null,
})

/** N13, N14 with its wrap-around (D-21). */
function count(round: GoRound, master: GoDB): void {
  const { data, spec, random } = round
  const good = listed(round, "good", false)
  const wanted = master.spec.synchronousStandbys ?? []
  if (good.length >= spec.maxStandbysPerSender) {
    for (const db of [...data.dbs.values()])
      if (!isMaster(db) && !good.includes(db) && !wanted.includes(db.uid)) data.dbs.delete(db.uid)
    const spare = shuffled(good, random).filter(({ uid }) => !wanted.includes(uid))
    for (const db of spare.slice(0, good.length - spec.maxStandbysPerSender))
      data.dbs.delete(db.uid)
    return
  }
  const notFailed = good.length + listed(round, "converging", false).length
  const missing = (spec.maxStandbysPerSender - notFailed + 65_536) % 65_536
  const taken = new Set([...data.dbs.values()].map((db) => db.spec.keeperUID))
  const free = [...data.keepers.values()].filter(
    ({ uid, status }) => status.healthy && !taken.has(uid),
  )
  for (const { uid } of shuffled(free, random).slice(0, missing)) {
    const db = make(GoDBShape, { uid: random.uid(), generation: 1 })
    db.spec = make(GoDBSpec, {
      keeperUID: uid,
      initMode: "resync",
      role: "standby",
      followers: [],
      followConfig: follow(master.uid),
    })
    data.dbs.set(db.uid, db)
  }
}

/** 5.8. */
function synchronous(round: GoRound, master: GoDB, current: readonly string[]): void {
  const { data, spec, log, random } = round
  const { minSynchronousStandbys: min, maxSynchronousStandbys: max } = spec
  const isGood = (uid: string): boolean => listed(round, "good", false).some((db) => db.uid === uid)
  const wanted = new Set(master.spec.synchronousStandbys ?? [])
  const known = (master.status.synchronousStandbys ?? []).filter((uid) => wanted.has(uid))
  if (!equal(known, wanted) || !equal(master.status.synchronousStandbys ?? [], wanted)) {
    for (const uid of current) if (wanted.has(uid) && !known.includes(uid)) known.push(uid)
    const notIn = [...wanted].filter((uid) => !known.includes(uid))
    if (notIn.some((uid) => !data.dbs.has(uid) || !isGood(uid)))
      master.spec.synchronousStandbys = known.toSorted(byText)
  }
  master.status.synchronousStandbys = known
  const previous = master.spec.synchronousStandbys ?? []
  let next = [...previous]
  if (!equal(known, previous))
    log.push("waiting for new defined synchronous standbys to be in sync")
  else {
    const present = previous.filter((uid) => data.dbs.has(uid))
    next = shuffled(present.filter(isGood), random).slice(0, max)
    for (const db of bestStandbys(round, master)) {
      const keeper = data.keepers.get(db.spec.keeperUID)
      if (next.length >= max) break
      if (!next.includes(db.uid) && keeper?.status.canBeSynchronousReplica !== false)
        next.push(db.uid)
    }
    for (const uid of present) if (next.length < min && !next.includes(uid)) next.push(uid)
    if (next.some((uid) => !previous.includes(uid))) next = [...new Set([...next, ...present])]
  }
  master.spec.synchronousReplication = true
  master.spec.synchronousStandbys = next.toSorted(byText)
  master.spec.externalSynchronousStandbys = next.length < min ? [fake] : []
  master.status.synchronousStandbys = known.filter((uid) => next.includes(uid))
}

const equal = (a: Iterable<string>, b: Iterable<string>): boolean =>
  [...new Set(a)].toSorted(byText).join() === [...new Set(b)].toSorted(byText).join()

/** Go iterates maps by chance (D-25). */
function shuffled<T>(items: readonly T[], random: GoRound["random"]): T[] {
  const rest = [...items]
  return items.flatMap(() => rest.splice(random.below(rest.length), 1))
}

/** N20: of the DB that was master when the round began. */
function followers({ data }: GoRound, before: GoDB): void {
  const { master } = data.cluster.status
  before.spec.followers = [...data.dbs.values()]
    .filter(
      ({ spec }) => spec.followConfig?.type === "internal" && spec.followConfig.dbuid === master,
    )
    .map(({ uid }) => uid)
    .toSorted(byText)
}
