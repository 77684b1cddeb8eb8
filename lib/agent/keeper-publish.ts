/**
 * Publishing what is there: on every beat, at once when something changed that others wait for, and
 * with every renewal of a lease. The beat looks itself, right before it publishes: leaders choose
 * by positions, and those must be younger than the question (W2, W8).
 *
 * All of it goes through one gate, one publish at a time, each made when its turn has come: an
 * older info never replaces a newer one. A renewal waits for nobody; it takes the turn of a beat.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { keeperInfo, urgentPart } from "#keeper/info.ts"
import { claimOf, said } from "#keeper/lease.ts"
import { isLedByUs } from "#model/cluster.ts"
import { epoch, infoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Local } from "#model/local.ts"
import { type Keeper, type Posting, settingsOf } from "./keeper-state.ts"
import { canPromise } from "./keeper-vows.ts"

/** One beat. */
export async function publishing(keeper: Keeper, signal: AbortSignal): Promise<void> {
  if (keeper.claim.kind !== "mine") return
  if (!hasNews(keeper)) await look(keeper, signal)
  const mine = new AbortController()
  try {
    await publish(keeper, mine, AbortSignal.any([signal, mine.signal]))
  } catch (error) {
    // whoever took our turn publishes what we saw
    if (!mine.signal.aborted) throw error
  }
}

/**
 * The tick has just looked. Two publishes never tell of one look: what the second one says was seen
 * after the first one was there, and a leader that counts publishes counts on it (W2).
 */
const hasNews = ({ seen, postedAt, ports }: Keeper): boolean =>
  seen !== null && seen.at > postedAt && ports.clock.now().mono - seen.at < lookAge
const lookAge = 50

/** For a renewal, or last words: now, by the last look. True when the store has it. */
export async function publishNow(keeper: Keeper, signal: AbortSignal): Promise<boolean> {
  const mine = new AbortController()
  keeper.posting?.giveUp()
  try {
    return await publish(keeper, mine, AbortSignal.any([signal, mine.signal]))
  } catch (error) {
    if (!mine.signal.aborted || signal.aborted) throw error
    return false // somebody else had even more need of the turn
  }
}

/** A look at the machine, noted for whoever publishes next. */
export async function look(keeper: Keeper, signal: AbortSignal): Promise<Local> {
  const { clock, postgres } = keeper.ports
  const at = clock.now().mono
  const local = await postgres.observe(signal)
  if (keeper.seen === null || keeper.seen.at <= at) keeper.seen = { local, at }
  return local
}

async function publish(
  keeper: Keeper,
  mine: AbortController,
  signal: AbortSignal,
): Promise<boolean> {
  while (keeper.posting !== null) await keeper.posting.over
  signal.throwIfAborted()
  const info = infoOf(keeper, seenOf(keeper))
  if (info === null) return false
  const over = Promise.withResolvers<void>()
  const posting: Posting = { giveUp: () => mine.abort(), over: over.promise }
  keeper.posting = posting
  const { rule } = keeper
  try {
    await keeper.ports.store.publish({ kind: "keeper", info }, ttlOf(keeper, info), signal)
    keeper.published = urgentPart(info)
    // what was said counts from when the store is known to have it
    if (keeper.rule === rule) keeper.rule = said(rule, keeper.ports.clock.now().mono)
    return true
  } finally {
    keeper.posting = null
    keeper.postedAt = keeper.ports.clock.now().mono
    over.resolve()
  }
}

/**
 * How long an info stays when nothing follows. Go's 20 s are also its failInterval: whoever is
 * found silent would have vanished by then, and with it what it said. An info outlives the lease
 * that it states, too, so that one that is gone speaks of a lease that has ended (L3).
 */
export const ttlOf = (
  { sleepInterval, failInterval }: Pick<Keeper, "sleepInterval" | "failInterval">,
  { fencing }: Pick<KeeperInfo, "fencing">,
): Millis => {
  const lease = fencing === undefined ? 0 : toMillis(fencing.lease)
  return millis(Math.max(ttlMin, 2 * sleepInterval, 2 * failInterval, 2 * lease))
}
const ttlMin = 20_000

/**
 * The last look. One that is old says nothing about PostgreSQL any more: renewals go on while it
 * hangs, and must not make it look well.
 */
function seenOf({ seen, ports, failInterval }: Keeper): Local | null {
  if (seen === null || ports.clock.now().mono - seen.at <= failInterval) return seen?.local ?? null
  const { local } = seen
  return local.server.kind === "up"
    ? { ...local, server: { kind: "starting", why: "it does not answer" } }
    : local
}

/** After a look of the tick: wakes the publishing when it has something to say. */
export function announce(keeper: Keeper): void {
  const info = keeper.claim.kind === "mine" ? infoOf(keeper, keeper.local) : null
  if (info !== null && urgentPart(info) !== keeper.published) keeper.news.ring()
}

/** What would be published now. */
export function infoOf(keeper: Keeper, local: Local | null): KeeperInfo | null {
  if (local === null) return null
  const { rule, writes, bound, electable, promised, peerAddress, view, memory } = keeper
  const data = view?.data ?? null
  // a word that the guardian has not acknowledged may have reached it all the same
  const most = bound === null ? null : millis(Math.max(bound, keeper.lease?.until ?? bound))
  const fencing =
    local.fencing?.on === true
      ? claimOf(rule, writes, most, keeper.ports.clock.now().mono)
      : undefined
  return keeperInfo(
    {
      local,
      settings: settingsOf(keeper),
      desired: keeper.desired,
      work: workText(keeper, local),
      ledByUs: data !== null && isLedByUs(data),
      words: {
        epoch: data?.cluster.status.primaryEpoch ?? epoch(""),
        detached: memory.detached,
        ending: keeper.ending,
        peerAddress,
        promises: canPromise(keeper),
        fencing,
        electable,
        promise: promised,
      },
    },
    infoUID(keeper.ports.chance.uid()),
  )
}

/** What is done now; between two attempts at something that PostgreSQL needs, what went wrong. */
function workText({ work, progress, failure }: Keeper, local: Local): string {
  if (work === null && local.unwritable !== null) return `cannot write: ${local.unwritable}`
  if (work === null) return local.server.kind === "up" ? "" : failure
  return progress === "" ? work.step.kind : progress
}
