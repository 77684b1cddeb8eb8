/**
 * The rules of docs/protocol.md on leases, fences and promises in miniature: three keepers, two
 * sentinels that both believe to lead, whole ticks of time, messages that arrive at any moment or
 * never. No network and no PostgreSQL: only who may acknowledge until when, and who knows what.
 *
 * The simulator runs the real code; this shows that the rules themselves hold, and that each of
 * them is needed: a `Flaw` leaves one out. `actions` lists everything that can happen next.
 */

/** 0 is the first primary. */
export type KeeperNo = 0 | 1 | 2
export const everybody: readonly KeeperNo[] = [0, 1, 2]

/** Who may be promoted, by its word (O3); bit n is keeper n. Ended: nobody of it is asked (O5). */
export interface Electable {
  readonly word: number
  readonly set: number
  readonly ended: boolean
}

export interface View {
  readonly primary: KeeperNo
  readonly revoked: boolean
  readonly epoch: number
  readonly electable: Electable
  readonly version: number
}

/** What a keeper published last. */
interface Info {
  readonly uid: number
  readonly certificate: number
  /** Its leases end at most this long after a publish began. */
  readonly length: number
  readonly electable: Electable
}

export interface Keeper {
  /** It can reach the store. */
  reaches: boolean
  phase: "idle" | "publishing" | "landed"
  started: number
  /** What the publish under way says. */
  saying: Omit<Info, "uid">
  /** It acknowledges before this moment and not after. */
  lease: number
  /** The length of its leases by the specification that it knows. */
  length: number
  /** The epoch that it has certified the end of; 0 none. */
  certificate: number
  view: View
  /** It promotes nobody, itself included, before this moment. */
  bound: number
  /** Sending time of the question that is out, and who has answered it; -1 none. */
  asked: number
  promised: number
}

interface Seen {
  info: Info
  at: number
}

export interface Sentinel {
  seen: readonly [Seen, Seen, Seen]
  view: View
  /** From when on the revoked primary is fenced by time; -1: not known yet. */
  fencedAt: number
}

export interface World {
  now: number
  view: View
  infos: [Info, Info, Info]
  keepers: readonly [Keeper, Keeper, Keeper]
  sentinels: readonly Sentinel[]
  /** How many more faults there will be. */
  faults: number
  /** Components come and go that know nothing of promises (O5). */
  readonly strangers: boolean
}

/** One rule left out. */
export const flaws = [
  "the lease counts from the answer", // L1
  "the view is read before the publish", // L1
  "the last lease counts, not the longest", // L3
  "evidence is proof", // L4
  "any certificate counts", // certificates name their epoch
  "a certified epoch is renewed", // part 1
  "the fence counts from an old look", // L3
  "a promise is forgotten at a restart", // O2
  "a promise does not hold the promotion up", // O2
  "a promise counts from its answer", // O1
  "one promise is enough", // O1
  "somebody outside the set is elected", // O3
  "the set grows unacknowledged", // O3
  "the set just disappears", // O5
  "an ended set is asked", // O5
] as const
export type Flaw = (typeof flaws)[number]

/** Ticks: a lease, and how long a promise lasts. */
export const lease = 3
export const shortLease = 1
const width = 3
const first: Electable = { word: 0, set: 0b110, ended: false }
/** What a keeper says that does not lead: nothing. */
const nothing: Electable = { word: -1, set: 0b111, ended: false }
/** There is no set. */
const gone: Electable = { word: -1, set: 0b111, ended: true }

const keeper = (view: View): Keeper => ({
  reaches: true,
  phase: "idle",
  started: 0,
  saying: { certificate: 0, length: lease, electable: nothing },
  lease: 0,
  length: lease,
  certificate: 0,
  view,
  bound: 0,
  asked: -1,
  promised: 0,
})

/** @param outage It begins with a store that nobody reaches. */
export function firstWorld(faults: number, outage: boolean, strangers: boolean): World {
  const view: View = { primary: 0, revoked: false, epoch: 1, electable: first, version: 0 }
  const info: Info = { uid: 0, certificate: 0, length: lease, electable: first }
  const sentinel = (): Sentinel => ({
    seen: [
      { info, at: 0 },
      { info, at: 0 },
      { info, at: 0 },
    ],
    view,
    fencedAt: -1,
  })
  const keepers = [keeper(view), keeper(view), keeper(view)] as const
  keepers[0].lease = lease
  for (const each of keepers) each.reaches = !outage
  return {
    now: 0,
    view,
    infos: [info, info, info],
    keepers,
    sentinels: [sentinel(), sentinel()],
    faults,
    strangers,
  }
}

/** Who acknowledges at this moment; never two (P1). */
export const writers = (world: World): readonly KeeperNo[] =>
  everybody.filter((n) => world.keepers[n].lease > world.now)

export interface Action {
  readonly who: string
  readonly what: string
  readonly run: () => void
}

const takesIn = ["takes A in", "takes B in", "takes C in"] as const
const leavesOut = ["leaves A out", "leaves B out", "leaves C out"] as const
const promotes = ["promotes A", "promotes B", "promotes C"] as const
const bit = (n: KeeperNo): number => 1 << n
export const nameOf = (n: KeeperNo): string => "ABC"[n] ?? "?"
const leads = ({ view }: Keeper, n: KeeperNo): boolean => view.primary === n && !view.revoked

export function actions(world: World, flaw: Flaw | null): readonly Action[] {
  const found: Action[] = []
  const can: Can = (who, what, run) => void found.push({ who, what, run })
  can("", "time passes", () => void world.now++)
  for (const n of everybody) {
    renewing(world, n, flaw, can)
    failing(world, n, flaw, can)
    promising(world, n, flaw, can)
  }
  world.sentinels.forEach((sentinel, i) => leading(world, sentinel, `S${i}`, flaw, can))
  return found
}
type Can = (who: string, what: string, run: () => void) => void

/** L1: publish, wait for the answer, read; the lease counts from the start of the publish. */
function renewing(world: World, n: KeeperNo, flaw: Flaw | null, can: Can): void {
  const me = world.keepers[n]
  const name = nameOf(n)
  if (me.phase === "idle" && me.reaches)
    can(name, "begins to publish", () => {
      me.phase = "publishing"
      me.started = world.now
      const rest = flaw === "the last lease counts, not the longest" ? 0 : me.lease - world.now
      const length = Math.max(me.length, rest)
      const electable = leads(me, n) ? me.view.electable : nothing
      me.saying = { certificate: me.certificate, length, electable }
    })
  if (me.phase === "publishing" && me.reaches)
    can(name, "has published", () => {
      me.phase = "landed"
      world.infos[n] = { uid: world.infos[n].uid + 1, ...me.saying }
    })
  const early = flaw === "the view is read before the publish" && me.phase === "publishing"
  if ((me.phase === "landed" || early) && me.reaches)
    can(name, "reads the view", () => {
      if (me.phase === "landed") me.phase = "idle"
      read(world, n, flaw)
    })
  if (me.phase !== "idle") can(name, "gives its renewal up", () => void (me.phase = "idle"))
}

function read(world: World, n: KeeperNo, flaw: Flaw | null): void {
  const me = world.keepers[n]
  me.view = world.view
  if (!leads(me, n)) return
  const ended = me.certificate === me.view.epoch && flaw !== "a certified epoch is renewed"
  const bound = me.bound > world.now && flaw !== "a promise does not hold the promotion up"
  if (ended || bound) return
  const from = flaw === "the lease counts from the answer" ? world.now : me.started
  me.lease = Math.max(me.lease, from + me.length)
}

function failing(world: World, n: KeeperNo, flaw: Flaw | null, can: Can): void {
  const me = world.keepers[n]
  const name = nameOf(n)
  if (me.lease > world.now)
    can(name, "certifies its end", () => {
      me.lease = 0
      me.certificate = me.view.epoch
      me.asked = -1
    })
  if (world.faults === 0) return
  const fault = (what: string, run: () => void): void =>
    can(name, what, () => {
      world.faults--
      run()
    })
  fault(me.reaches ? "loses the store" : "reaches the store again", () => {
    me.reaches = !me.reaches
  })
  if (me.bound > world.now && flaw === "a promise is forgotten at a restart")
    fault("restarts", () => void (me.bound = 0))
  if (me.length === lease) fault("hears of shorter leases", () => void (me.length = shortLease))
}

/** Part 4. */
function promising(world: World, n: KeeperNo, flaw: Flaw | null, can: Can): void {
  const me = world.keepers[n]
  const name = nameOf(n)
  const ended = me.certificate === me.view.epoch
  const asksNobody = me.view.electable.ended && flaw !== "an ended set is asked"
  if (asksNobody) {
    me.asked = -1
    return
  }
  if (!me.reaches && leads(me, n) && !ended && me.lease > world.now && me.asked < 0)
    can(name, "asks for promises", () => {
      me.asked = world.now
      me.promised = 0
    })
  if (me.asked < 0) return
  for (const o of everybody) {
    const other = world.keepers[o]
    if (o === n || (me.promised & bit(o)) !== 0) continue
    const knows = other.view.primary === n && !other.view.revoked
    if (other.reaches || !knows || other.view.epoch !== me.view.epoch || other.lease > world.now)
      continue
    can(nameOf(o), "promises", () => {
      me.promised |= bit(o)
      other.bound = Math.max(other.bound, world.now + width)
      other.phase = "idle" // a renewal under way is not one of a keeper that is cut off
    })
  }
  const { set } = me.view.electable
  const enough =
    flaw === "one promise is enough" && me.promised !== 0 ? true : (set & ~me.promised) === 0
  if (enough)
    can(name, "has every promise", () => {
      const from = flaw === "a promise counts from its answer" ? world.now : me.asked
      me.lease = Math.max(me.lease, from + width)
      me.asked = -1
    })
  can(name, "asks no longer", () => void (me.asked = -1))
}

function leading(
  world: World,
  sentinel: Sentinel,
  name: string,
  flaw: Flaw | null,
  can: Can,
): void {
  for (const n of everybody)
    if (sentinel.seen[n].info.uid !== world.infos[n].uid)
      can(name, "sees an info", () => see(world, sentinel, n))
  if (sentinel.view.version !== world.view.version) {
    can(name, "reads the view", () => {
      sentinel.view = world.view
      sentinel.fencedAt = -1
    })
    return // whatever it writes now would be a conflict
  }
  const { primary, revoked, epoch } = world.view
  const write = (view: Partial<View>): void => {
    world.view = { ...world.view, ...view, version: world.view.version + 1 }
    sentinel.view = world.view
    sentinel.fencedAt = -1
  }
  const fresh = world.view.version + 2
  if (!revoked) can(name, "revokes the primary", () => write({ revoked: true }))
  else {
    can(name, "reinstates the primary", () => write({ revoked: false, epoch: fresh }))
    if (sentinel.fencedAt < 0)
      can(name, "looks at the primary", () => {
        if (flaw !== "the fence counts from an old look") see(world, sentinel, primary)
        const { at, info } = sentinel.seen[primary]
        sentinel.fencedAt = at + info.length
      })
  }
  const known = sentinel.seen[primary].info
  const certified =
    known.certificate !== 0 && (known.certificate === epoch || flaw === "any certificate counts")
  const timed = sentinel.fencedAt >= 0 && world.now >= sentinel.fencedAt
  if (revoked && (timed || certified || flaw === "evidence is proof"))
    for (const n of everybody)
      if (n !== primary && mayBe(world.view, known.electable, n, flaw))
        can(name, promotes[n], () => {
          const electable = world.view.electable.ended ? gone : allBut(n, fresh)
          write({ primary: n, revoked: false, epoch: fresh, electable })
        })
  if (!revoked) electing(world, known.electable, name, flaw, can, write)
}

function see(world: World, sentinel: Sentinel, n: KeeperNo): void {
  const seen = sentinel.seen[n]
  if (seen.info.uid !== world.infos[n].uid) {
    seen.info = world.infos[n]
    seen.at = world.now
  }
}

/**
 * In the set of the view; and while the primary has not acknowledged that one, in the one that it
 * spoke of last as well: it may know either.
 */
function mayBe(view: View, spoken: Electable, n: KeeperNo, flaw: Flaw | null): boolean {
  if (flaw === "somebody outside the set is elected") return true
  const known = spoken.ended ? 0b111 : spoken.set
  return (view.electable.set & known & bit(n)) !== 0
}

const allBut = (n: KeeperNo, fresh: number): Electable => ({
  word: fresh,
  set: 0b111 & ~bit(n),
  ended: false,
})

/** O3: one change at a time, each with a word that the primary acknowledges. */
function electing(
  world: World,
  acknowledged: Electable,
  name: string,
  flaw: Flaw | null,
  can: Can,
  write: (view: Partial<View>) => void,
): void {
  const { electable, primary } = world.view
  const settled = acknowledged.word === electable.word
  const fresh = world.view.version + 1
  const change = (what: string, next: Electable): void =>
    can(name, what, () => write({ electable: next }))
  if (world.strangers) {
    if (electable.word === gone.word) return change("forms a set", allBut(primary, fresh))
    if ((settled && electable.ended) || flaw === "the set just disappears")
      change("drops the set", gone)
    else if (settled) change("ends the set", { ...electable, word: fresh, ended: true })
  }
  if (!settled && flaw !== "the set grows unacknowledged") return
  for (const n of everybody) {
    if (n === primary) continue
    const set = electable.set ^ bit(n)
    const what = (electable.set & bit(n)) === 0 ? takesIn[n] : leavesOut[n]
    change(what, { word: fresh, set, ended: false })
  }
}
