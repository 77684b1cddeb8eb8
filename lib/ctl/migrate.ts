/**
 * `ctl store migrate`: a running cluster from one store to another (M1), as values. Two documents
 * are on the way; each is marked, and no leader replaces anybody while its document is.
 *
 *     from: unmarked   to: nothing     a copy is written, marked; then the mark here, compared with
 *                                      the version that was copied
 *     from: marked     to: marked      components are started with the new store, one by one
 *     from: left       to: marked      all have come: whoever is still here is told to stop
 *     from: left       to: unmarked    over
 *
 * Each step is one compared write, so this may end anywhere and be called again: what it finds says
 * where it was. Nothing expires by itself. A mark that did would wake the leader of a store whose
 * keepers have gone, and it would promote whom it still sees.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { byText, sortedKeys, sortedValues } from "#base/order.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type KeeperUID, nextGeneration, noDB } from "#model/ids.ts"
import { type Infos, capabilities } from "#model/info.ts"
import { emptySpec, withDefaults } from "#model/spec.ts"
import { type Move, describeMove, hasLeft } from "#model/wish.ts"
import type { Change, Edited } from "./edit.ts"
import { strangers } from "./pause.ts"
import type { Found } from "./status.ts"

/** The two stores, for people. */
export interface Names {
  readonly from: string
  readonly to: string
}
export type Both = Readonly<Record<keyof Names, ClusterData | null>>

export type Stage =
  /** Nothing has been decided: the document is to be copied, over what an earlier try left. */
  | { readonly kind: "copy" }
  /** Both are marked: components are on their way, or on their way back. */
  | { readonly kind: "wait" }
  /** The cluster lives in the other store. */
  | { readonly kind: "over" }
  | { readonly kind: "refused"; readonly message: string }

const refused = (message: string): Stage => ({ kind: "refused", message })

/** How far it is, by what stands in both stores. */
export function stageOf({ from, to }: Both, names: Names): Stage {
  if (from === null) return refused(`there is no such cluster in ${names.from}`)
  if (to !== null && to.cluster.uid !== from.cluster.uid)
    return refused(
      `${names.to} has another cluster of this name (${to.cluster.uid}); choose another place by --to-prefix, or remove its data there first`,
    )
  const here = from.cluster.status.move
  if (here === undefined) return beginning(to, names)
  const there = to?.cluster.status.move
  if (here.end === "to")
    return refused(`the cluster is still on its way to ${names.from} (from ${here.other})`)
  if (to === null) {
    if (hasLeft(from))
      return refused(`the cluster has moved to ${here.other}, and ${names.to} has no data of it`)
    return here.other === names.to
      ? { kind: "copy" }
      : refused(`the cluster is on its way to ${here.other}; end that first, or --cancel it`)
  }
  if (there === undefined) return { kind: "over" }
  if (there.end === "to" && there.nonce === here.nonce) return { kind: "wait" }
  // of two that began at once, the one whose mark stands here goes on
  const isRival = there.end === "to" && there.other === names.from && !hasLeft(from)
  return isRival
    ? { kind: "copy" }
    : refused(`the cluster is on its way to ${here.other}, and ${names.to} is part of another move`)
}

function beginning(to: ClusterData | null, names: Names): Stage {
  if (to === null) return { kind: "copy" }
  const there = to.cluster.status.move
  const isLeftover = there?.end === "to" ? there.other === names.from : hasLeft(to)
  return isLeftover
    ? { kind: "copy" }
    : refused(
        `${names.from} and ${names.to} both have this cluster; remove the one that nobody uses with the store's own tools`,
      )
}

/** Why the cluster cannot leave now; null: it can. */
export function hindrance({ data, infos }: Found & { readonly data: ClusterData }): string | null {
  const strange = strangers(data) ?? strangerIn(infos)
  if (strange !== null) return strange
  const { status } = data.cluster
  if (status.primaryRevoked || data.proxy.spec.masterDbUid !== status.master)
    return "a failover is in progress; try again when it is over: stolon ctl status"
  if (status.switchover !== undefined || status.failoverRequest !== undefined)
    return "a switchover or failover is pending; try again when it is over: stolon ctl status"
  return null
}

/** Go's components drop the mark or do not heed it, and older sentinels of ours do not either. */
export function strangerIn(infos: Infos): string | null {
  const sentinel = sortedValues(infos.sentinels).find(
    (info) => !info.capabilities.includes(capabilities.move),
  )
  if (sentinel !== undefined)
    return `sentinel ${sentinel.UID} does not know moves (it is Go stolon's, or older); update the sentinels first`
  const keeper = sortedValues(infos.keepers).find(
    (info) => !info.capabilities.includes(capabilities.wishes),
  )
  return keeper === undefined
    ? null
    : `keeper ${keeper.uid} is Go stolon's, or older; update the keepers first`
}

const marked = (data: ClusterData, move: Move): ClusterData => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, move } },
})

export type Mark = Pick<Move, "nonce" | "by" | "since">

/** What is written into the new store first: nobody decides anything by it. */
export const arriving = (data: ClusterData, mark: Mark, { from }: Names): ClusterData =>
  marked(data, { ...mark, end: "to", other: from })
/** What replaces the very version that was copied. */
export const leaving = (data: ClusterData, mark: Mark, { to }: Names): ClusterData =>
  marked(data, { ...mark, end: "from", other: to })

/**
 * The store that the cluster does not live in: its primary is revoked and its gate closed, so that
 * a keeper stops what it runs there and a proxy cuts its sessions. Both come to their senses in the
 * other store.
 */
export const closing = (nonce: Move["nonce"], other: string): Change => ({
  edit: (data): Edited => {
    const { move, primaryRevoked } = data.cluster.status
    if (move === undefined || move.nonce !== nonce)
      return { kind: "refused", message: "its mark is gone; somebody else has changed it" }
    if (hasLeft(data)) return { kind: "unchanged", message: "it is left already" }
    const { proxy } = data
    const closed = {
      ...proxy,
      spec: { ...proxy.spec, masterDbUid: noDB },
      generation: nextGeneration(proxy.generation),
    }
    const left = marked(data, { ...move, end: "from", other })
    const status = { ...left.cluster.status, primaryRevoked: true }
    return {
      kind: "edited",
      data: {
        ...left,
        cluster: { ...left.cluster, status },
        proxy: primaryRevoked ? proxy : closed,
      },
    }
  },
  inForce: hasLeft,
  once: false,
  repairs: true,
})

/** The store that it lives in from now on. */
export const settling = (nonce: Move["nonce"]): Change => ({
  edit: (data): Edited => {
    const { move, ...status } = data.cluster.status
    if (move === undefined) return { kind: "unchanged", message: "it lives there already" }
    if (move.nonce !== nonce)
      return { kind: "refused", message: "its mark is another one; somebody else is moving it" }
    return { kind: "edited", data: { ...data, cluster: { ...data.cluster, status } } }
  },
  inForce: (data) => data.cluster.status.move === undefined,
  once: false,
  repairs: true,
})

/** Why `ctl` changes nothing of such a cluster: it would be lost, or nobody would carry it out. */
export function inMotion(data: ClusterData): string | null {
  const text = describeMove(data)
  if (text === null) return null
  return hasLeft(data)
    ? `${text}; give the flags of that store`
    : `${text}; nothing is changed until it has arrived: stolon ctl store migrate`
}

/** Who speaks in a store: the last word of each, since when, and whether there was one before. */
export interface Voice {
  readonly word: string
  readonly since: Millis
  readonly again: boolean
}
export type Voices = ReadonlyMap<string, Voice>

/** What lies in a store may be somebody's last word; a second one is alive. */
export function hear(before: Voices, infos: Infos, mono: Millis): Voices {
  const words = [
    ...sortedValues(infos.keepers).map(({ uid, infoUID }) => [`keeper ${uid}`, infoUID] as const),
    ...sortedValues(infos.sentinels).map(
      ({ UID, infoUID }) => [`sentinel ${UID}`, infoUID] as const,
    ),
    ...sortedValues(infos.proxies).map(({ UID, infoUID }) => [`proxy ${UID}`, infoUID] as const),
  ]
  return new Map(
    words.map(([who, word]) => {
      const last = before.get(who)
      if (last === undefined) return [who, { word, since: mono, again: false }]
      return [who, last.word === word ? last : { word, since: mono, again: true }]
    }),
  )
}

/** Longer than any component that goes on is silent; no proxy forwards by an older view either. */
export function silenceLimit(data: ClusterData | null): Millis {
  const spec = withDefaults(data?.cluster.spec ?? emptySpec)
  const beats = 3 * Math.max(toMillis(spec.sleepInterval), toMillis(spec.proxyCheckInterval))
  return millis(Math.max(20_000, beats, toMillis(spec.proxyTimeout)))
}

/** One end, as the last look found it. */
export interface Side {
  readonly found: Found
  readonly voices: Voices
}
export interface Sides {
  /** Where the cluster shall live. */
  readonly home: Side
  readonly left: Side
}

/** Who has not come home, for people; empty: all have. */
export function missing({ home, left }: Sides, mono: Millis): readonly string[] {
  const { data, infos, leader } = home.found
  const limit = silenceLimit(data)
  const hasCome = (uid: KeeperUID): boolean => {
    const voice = home.voices.get(`keeper ${uid}`)
    return voice?.again === true && mono - voice.since <= limit
  }
  if (data === null) return ["its cluster data"]
  const keepers = sortedKeys(data.keepers)
  const strange = strangerIn(infos)
  const leads = leader !== null && infos.sentinels.has(leader)
  return [
    ...(strange === null ? [] : [strange]),
    ...(leads ? [] : ["a sentinel that leads"]),
    ...keepers.filter((uid) => !hasCome(uid)).map((uid) => `keeper ${uid}`),
    ...strayProxies(left, limit, mono).map((who) => `${who} (still at the other store)`),
  ]
}

/** Proxies that may still forward by what they read where the cluster lives no more. */
export const strayProxies = ({ voices }: Side, limit: Millis, mono: Millis): readonly string[] =>
  [...voices]
    .filter(([who, { since }]) => who.startsWith("proxy ") && mono - since <= limit)
    .map(([who]) => who)
    .toSorted(byText)

/** What an operator does next, in the order that disturbs least. */
export function itinerary(
  { data, infos }: Found & { readonly data: ClusterData },
  flags: string,
): readonly string[] {
  const first = data.dbs.get(data.cluster.status.master)?.spec.keeperUID
  const standbys = sortedKeys(data.keepers).filter((uid) => uid !== first)
  const listed = (uids: readonly string[]): string =>
    uids.length === 0 ? "" : `: ${uids.join(", ")}`
  return [
    `start them again with ${flags}, in this order:`,
    `  1. the sentinels${listed(sortedKeys(infos.sentinels))}`,
    `  2. the keepers of standbys${listed(standbys)}`,
    `  3. the keeper of the primary${first === undefined ? "" : `: ${first}`}`,
    `  4. the proxies${listed(sortedKeys(infos.proxies))}`,
    "A keeper that is killed (SIGKILL) and started within its lease adopts its running PostgreSQL; one that is stopped stops it.",
  ]
}
