/**
 * The store's own memory: one document with a revision, infos that expire, one election. It is what
 * the servers would hold; how requests reach it, or do not, is `store.ts`. Everything here happens
 * at one instant and cannot fail.
 *
 * Documents go through the real codec in some runs (`honest`) and are handed over as they are in
 * the others: decoding is the dearest thing in a run, and what agents write either survives it
 * always or never.
 */
import { by, byText } from "#base/order.ts"
import { type ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { decode, encode } from "#model/codec.ts"
import type { KeeperUID, ProxyUID, SentinelUID } from "#model/ids.ts"
import { type Infos, KeeperInfo, ProxyInfo, SentinelInfo } from "#model/info.ts"
import type { Expected, Published, Publisher, Reading, Version, Written } from "#port/store.ts"

/** A candidate's session. The key it holds goes when the session expires. */
export interface Session {
  readonly uid: SentinelUID
  /** Hands to `write` (W4). */
  readonly token: string
  expiresAt: number
  closed: boolean
  /** Tells the candidate that it was elected; called at the store, the way back is the caller's. */
  readonly elected: () => void
}

export interface Core {
  read(): Reading
  write(data: ClusterData, expected: Expected, token: string | null): Written
  /** Somebody deletes the cluster data. */
  remove(): void
  publish(what: Published, ttl: number): void
  withdraw(who: Publisher): void
  infos(): Infos
  /** Nonsense under the key of some component, until it publishes again. */
  garble(): void
  leader(): SentinelUID | null
  /** Takes the office from `uid`, if it has it. */
  unseat(uid: SentinelUID): boolean
  /** Is this session's key still the leader's? */
  leads(token: string): boolean
  enter(session: Session): void
  renew(session: Session, ttl: number): boolean
  close(session: Session): void
  /** Told after each change. */
  readonly listeners: Listeners
}

export interface Listeners {
  readonly written: ((before: ClusterData | null, after: ClusterData) => void)[]
  readonly published: ((what: Published) => void)[]
  readonly changed: ((what: "clusterdata" | "info") => void)[]
  /** Somebody took the office from the leader. */
  readonly unseated: ((uid: SentinelUID) => void)[]
}

interface Entry {
  readonly what: Published
  readonly broken?: boolean
  readonly expiresAt: number
}

export function createCore(now: () => number, honest: boolean): Core {
  let data: ClusterData | null = null
  let revision = 0
  const entries = new Map<string, Entry>()
  const sessions: Session[] = []
  const listeners: Listeners = { written: [], published: [], changed: [], unseated: [] }
  /** What everybody who asks gets until something changes. */
  let gathered: Infos | null = null
  const look = (): Infos => {
    const all = [...entries.entries()]
    const broken = all
      .filter(([, entry]) => entry.broken === true)
      .map(([key]) => ({ key, error: "expected an object" }))
    const whole = all.filter(([, entry]) => entry.broken !== true)
    return { ...gather(whole.map(([, { what }]) => what)), broken }
  }
  const tell = (what: "clusterdata" | "info"): void => {
    gathered = null
    for (const listener of listeners.changed) listener(what)
  }
  const version = (): Version => String(revision) as Version // minted where documents are kept
  const holder = (): Session | undefined => sessions[0]
  /** The first in the queue leads; a new first is told. */
  const leave = (session: Session): void => {
    const at = sessions.indexOf(session)
    if (at < 0) return
    sessions.splice(at, 1)
    if (at === 0) holder()?.elected()
  }
  const expire = (): void => {
    for (const session of sessions.filter((s) => s.expiresAt <= now())) {
      session.closed = true
      leave(session)
    }
  }
  return {
    listeners,
    read: () =>
      data === null
        ? { kind: "absent", version: null }
        : { kind: "found", data, version: version() },
    write(next, expected, token) {
      expire()
      if (token !== null && holder()?.token !== token) return { kind: "conflict" }
      if (expected.kind === "absent" && data !== null) return { kind: "conflict" }
      if (expected.kind === "version" && (data === null || expected.version !== version()))
        return { kind: "conflict" }
      const before = data
      data = honest ? decodeClusterData(encodeClusterData(next)) : next
      revision++
      for (const listener of listeners.written) listener(before, next)
      tell("clusterdata")
      return { kind: "written", version: version() }
    },
    remove() {
      data = null
      revision++
      tell("clusterdata")
    },
    publish(what, ttl) {
      const kept = honest ? recode(what) : what
      entries.set(keyOf(publisherOf(what)), { what: kept, expiresAt: now() + ttl })
      gathered = null // who listens may look
      for (const listener of listeners.published) listener(what)
      tell("info")
    },
    withdraw(who) {
      if (entries.delete(keyOf(who))) tell("info")
    },
    infos() {
      for (const [key, { expiresAt }] of entries)
        if (expiresAt <= now()) {
          entries.delete(key)
          gathered = null
        }
      gathered ??= look()
      return gathered
    },
    garble() {
      const [key, entry] = [...entries].toSorted(([a], [b]) => byText(a, b))[0] ?? []
      if (key !== undefined && entry !== undefined) entries.set(key, { ...entry, broken: true })
      tell("info")
    },
    leader() {
      expire()
      return holder()?.uid ?? null
    },
    leads(token) {
      expire()
      return holder()?.token === token
    },
    unseat(uid) {
      expire()
      const held = holder()
      if (held?.uid !== uid) return false
      held.closed = true
      leave(held)
      for (const listener of listeners.unseated) listener(uid)
      return true
    },
    enter(session) {
      expire()
      sessions.push(session)
      if (sessions.length === 1) session.elected()
    },
    renew(session, ttl) {
      expire()
      if (session.closed) return false
      session.expiresAt = now() + ttl
      return true
    },
    close(session) {
      session.closed = true
      leave(session)
    },
  }
}

const publisherOf = (what: Published): Publisher => {
  switch (what.kind) {
    case "keeper":
      return { kind: "keeper", uid: what.info.uid }
    case "sentinel":
      return { kind: "sentinel", uid: what.info.UID }
    case "proxy":
      return { kind: "proxy", uid: what.info.UID }
  }
}

const keyOf = ({ kind, uid }: Publisher): string => `${kind}/${uid}`

function recode(what: Published): Published {
  switch (what.kind) {
    case "keeper":
      return { kind: "keeper", info: decode(KeeperInfo, encode(KeeperInfo, what.info)) }
    case "sentinel":
      return { kind: "sentinel", info: decode(SentinelInfo, encode(SentinelInfo, what.info)) }
    case "proxy":
      return { kind: "proxy", info: decode(ProxyInfo, encode(ProxyInfo, what.info)) }
  }
}

function gather(published: readonly Published[]): Infos {
  const keepers = new Map<KeeperUID, KeeperInfo>()
  const sentinels = new Map<SentinelUID, SentinelInfo>()
  const proxies = new Map<ProxyUID, ProxyInfo>()
  const named = published.map((what) => ({ key: keyOf(publisherOf(what)), what }))
  for (const { what } of named.toSorted(by(({ key }) => key, byText))) {
    if (what.kind === "keeper") keepers.set(what.info.uid, what.info)
    if (what.kind === "sentinel") sentinels.set(what.info.UID, what.info)
    if (what.kind === "proxy") proxies.set(what.info.UID, what.info)
  }
  return { keepers, sentinels, proxies, broken: [] }
}
