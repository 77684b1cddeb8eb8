/**
 * Streaming between two servers of the model: connecting, shipping, confirming, and how a dead or
 * cut-off end is noticed.
 *
 * A connection is a TCP connection: when a process dies its peer hears at once, when a machine dies
 * or the network is cut nobody hears anything until the WAL timeout. Shipping is coalesced: at most
 * one bundle under way per standby, carrying all there is.
 */
import { type Instance, hasRoom, release } from "./server.ts"
import { endOf, receive, streamable } from "./wal.ts"

export interface Link {
  readonly upstream: Instance
  readonly standby: Instance
  /** application_name: what synchronous_standby_names speaks of. */
  readonly name: string
  readonly slot: string
  /** What the upstream knows to be on the standby's disk. */
  confirmed: number
  /** A bundle is under way. */
  shipping: boolean
  /** Since when nothing gets through; null while it does. */
  stalledAt: number | null
  closed: boolean
}

const alive = (instance: Instance): boolean =>
  instance.process.state === "running" && instance.phase !== "gone"

/** Both ends run and hear each other. */
const flows = ({ upstream, standby }: Link): boolean =>
  alive(upstream) &&
  alive(standby) &&
  upstream.world.reaches(upstream.machine.name, standby.machine.name) &&
  upstream.world.reaches(standby.machine.name, upstream.machine.name)

/** A standby looks after its connection: drops a dead one, makes a new one. */
export function standbyTick(instance: Instance): void {
  const { upstream } = instance
  if (upstream !== null) {
    if (!timedOut(upstream)) return ship(upstream)
    closeLink(upstream)
  }
  open(instance)
}

/** Notes a stall, and says whether it has lasted for the WAL timeout. */
function timedOut(link: Link): boolean {
  const now = link.upstream.world.now()
  link.stalledAt = flows(link) ? null : (link.stalledAt ?? now)
  return link.stalledAt !== null && now - link.stalledAt >= link.standby.settings.walTimeout
}

function open(standby: Instance): void {
  const { world, cluster, settings, dir, machine } = standby
  const { primary, slot } = settings
  if (primary === null || primary.host === "") return refuse(standby, "no primary_conninfo")
  const upstream = cluster.at.get(`${primary.host}:${primary.port}`)
  const there = upstream?.machine.name ?? ""
  if (upstream === undefined || upstream === standby || !alive(upstream))
    return refuse(standby, "no server there")
  if (!world.reaches(machine.name, there) || !world.reaches(there, machine.name))
    return refuse(standby, "no route")
  if (upstream.phase !== "up") return refuse(standby, "not accepting connections")
  if (!upstream.hba.replication || !upstream.dir.roles)
    return refuse(standby, "no pg_hba.conf entry")
  if (upstream.dir.systemID !== dir.systemID) return refuse(standby, "another system identifier")
  if (slot !== "" && !upstream.dir.slots.has(slot)) return refuse(standby, "no such slot")
  for (const link of upstream.standbys) {
    if (slot === "" || link.slot !== slot || link.standby === standby) continue
    // The slot belongs to a connection that may be dead without the upstream knowing.
    if (!timedOut(link)) return refuse(standby, "the slot is active")
    closeLink(link)
  }
  const verdict = streamable(dir.wal, upstream.dir.wal)
  if (verdict !== "yes") return refuse(standby, verdict)
  if (endOf(dir.wal) < upstream.dir.walFrom) return refuse(standby, walGone)
  dir.wal.highest = Math.max(dir.wal.highest, upstream.dir.wal.timeline)
  const link: Link = {
    upstream,
    standby,
    name: primary.name,
    slot,
    confirmed: endOf(dir.wal),
    shipping: false,
    stalledAt: null,
    closed: false,
  }
  standby.upstream = link
  standby.refusal = ""
  upstream.standbys.add(link)
  ship(link)
  // The first reply of the standby is what makes it count.
  release(upstream)
}

/** PostgreSQL's words. */
const walGone = "requested WAL segment has already been removed"

const refuse = (standby: Instance, why: string): void => void (standby.refusal = why)

/** Sends what the standby lacks, unless a bundle is under way. */
export function ship(link: Link): void {
  const { upstream, standby } = link
  if (link.closed || link.shipping) return
  const length = upstream.dir.wal.records.length
  if (standby.dir.wal.records.length >= length && link.confirmed >= endOf(upstream.dir.wal)) return
  const { world } = upstream
  if (!flows(link)) {
    link.stalledAt ??= world.now()
    return // the standby's tick tries again
  }
  link.shipping = true
  world.at(world.between(0.5, 6), standby.process, () => arrive(link, length))
}

function arrive(link: Link, length: number): void {
  const { upstream, standby } = link
  link.shipping = false
  if (link.closed || standby.phase === "gone" || !standby.inRecovery) return
  const { world } = upstream
  if (!world.reaches(upstream.machine.name, standby.machine.name)) return
  if (!hasRoom(standby)) return
  const all = upstream.process.state === "running" ? upstream.dir.wal.records.length : length
  receive(standby.dir.wal, upstream.dir.wal, all)
  const end = endOf(standby.dir.wal)
  world.at(world.between(0.5, 6), upstream.process, () => {
    if (link.closed || !world.reaches(standby.machine.name, upstream.machine.name)) return
    link.confirmed = Math.max(link.confirmed, end)
    release(upstream)
    ship(link)
  })
}

export function closeLink(link: Link): void {
  link.closed = true
  if (link.standby.upstream === link) link.standby.upstream = null
  link.upstream.standbys.delete(link)
}

/**
 * The process of one end is gone. The other end hears of it if the machine still stands and the
 * network carries it.
 */
export function closeLinks(instance: Instance): void {
  const told = instance.machine.up
  for (const link of [
    ...instance.standbys,
    ...(instance.upstream === null ? [] : [instance.upstream]),
  ]) {
    const reach = instance.world.reaches(link.upstream.machine.name, link.standby.machine.name)
    if (told && reach) closeLink(link)
  }
}

/** The connection of a standby that this name stands for, as the primary sees it. */
export function syncState(instance: Instance, name: string): Link | null {
  for (const link of instance.standbys) if (link.name === name) return link
  return null
}

/** The standbys that count as synchronous now, dead connections found out on the way. */
export function syncNow(instance: Instance): readonly string[] {
  for (const link of [...instance.standbys]) if (timedOut(link)) closeLink(link)
  const { inForce } = instance
  if (inForce === null) return []
  return inForce.names.filter((name) => syncState(instance, name) !== null).slice(0, inForce.count)
}

/**
 * A stopping server waits until its connected standbys have everything; a dead connection holds it
 * up.
 */
export function drained(instance: Instance): boolean {
  const end = endOf(instance.dir.wal)
  for (const link of [...instance.standbys]) {
    if (timedOut(link)) closeLink(link)
    else if (link.confirmed < end) {
      ship(link)
      return false
    }
  }
  return true
}
