/**
 * Promises in a store outage (protocol part 4): asking for them while the primary here cannot renew
 * its lease, giving them, keeping them, and answering proxies about the lease.
 *
 * What must never be: a promise that is answered before it is on disk, a plan that was made without
 * it after that, a lease that counts from an answer. What counts is in `keeper/promise.ts`.
 */
import { type Millis, millis } from "#base/brand.ts"
import { leasable, makesPrimary } from "#keeper/lease.ts"
import {
  type Appeal,
  appealAt,
  appealBound,
  appealOf,
  bound,
  probeBound,
  refusal,
  toKeep,
} from "#keeper/promise.ts"
import { type Event, event } from "#model/events.ts"
import type { KeeperUID } from "#model/ids.ts"
import type { LeaseAnswer, PromiseAnswer, PromiseQuestion } from "#port/peer.ts"
import { prolong } from "./keeper-lease.ts"
import { publishNow } from "./keeper-publish.ts"
import type { Keeper } from "./keeper-state.ts"
import { asker, canPromise, clusterOf } from "./keeper-vows.ts"
import { forever } from "./loop.ts"

/** Answers peers, and runs what asks them. Resolves when `signal` aborts. */
export async function promising(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const { endpoint, peers, clock, log } = keeper.ports
  endpoint.answer({
    cluster: () => clusterOf(keeper),
    promise: (question) => inTurn(keeper, () => answer(keeper, question, signal)),
    lease: () => leaseAnswer(keeper),
    nudge: () => {
      keeper.news.ring()
      keeper.wake.ring()
    },
  })
  const loops = [lapsing(keeper, signal)]
  if (peers.signs) {
    loops.push(
      forever(
        () => appealing(keeper, signal),
        () => keeper.promises.due.wait(clock, appealPause(keeper), signal),
        log,
        signal,
      ),
    )
  }
  await Promise.all(loops)
}

// asking

/** One round, if it is time for one. */
async function appealing(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const { promises, ports } = keeper
  const { clock } = ports
  const sent = clock.now().mono // the earliest: before any question
  const appeal = appealNow(keeper, sent)
  if (appeal === null || sent < dueAt(keeper)) return
  const missing = await ask(keeper, appeal, signal)
  if (missing.length > 0) {
    say(keeper, event("promise.missing", { from: missing.join("; ") }))
    return
  }
  // the store may have answered meanwhile, and revoked us
  const still = appealNow(keeper, clock.now().mono)
  if (still === null || still.lease.epoch !== appeal.lease.epoch) return
  promises.asked = sent
  prolong(keeper, appeal.lease, millis(sent + appeal.width))
  say(keeper, event("promise.received", { from: appeal.keepers.join(), for: appeal.width }))
}

function say({ promises, ports }: Keeper, happened: Event): void {
  const text = JSON.stringify([happened.code, happened.fields])
  if (text === promises.said) return
  promises.said = text
  ports.log.event(happened)
}

const appealNow = (keeper: Keeper, now: Millis): Appeal | null =>
  keeper.claim.kind === "mine" && keeper.writes
    ? appealOf(keeper.promises.newest?.data ?? null, asker(keeper), keeper.lease, keeper.rule, now)
    : null

const dueAt = ({ promises, rule }: Keeper): Millis =>
  promises.renewed === null ? millis(Infinity) : appealAt(rule, promises.renewed, promises.asked)

/** What came of it: nobody, or who did not promise and why. */
async function ask(
  keeper: Keeper,
  { keepers, lease, width }: Appeal,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { ports, options, promises } = keeper
  const cluster = clusterOf(keeper)
  if (cluster === "") return ["its own cluster is not known"]
  const over = new AbortController()
  const bounded = ports.clock.deadline(appealBound(width), AbortSignal.any([signal, over.signal]))
  const question = { cluster, epoch: lease.epoch, db: lease.db, asker: options.uid, width }
  const askOne = async (asked: KeeperUID): Promise<string> => {
    const address = promises.newest?.data?.keepers.get(asked)?.status.peerAddress ?? ""
    if (address === "") return `${asked}: its address is not known`
    try {
      const one = await ports.peers.promise(address, { ...question, asked }, bounded)
      return one.kind === "promised" ? "" : `${asked}: ${one.why}`
    } catch (error) {
      return `${asked}: ${error instanceof Error ? error.message : String(error)}`
    }
  }
  try {
    return (await Promise.all(keepers.map(askOne))).filter((why) => why !== "")
  } finally {
    over.abort()
  }
}

/** Until it could be time to ask; soon after a failure. */
function appealPause(keeper: Keeper): Millis {
  const { clock } = keeper.ports
  const now = clock.now().mono
  const appeal = appealNow(keeper, now)
  if (appeal === null) return noPause // the next renewal rings
  const { width } = appeal
  return millis(Math.min(Math.max(dueAt(keeper) - now, width / 20), width / 3))
}

// answering

/** One after the other: each finds the promise that the one before it made. */
function inTurn<T>({ promises }: Keeper, work: () => Promise<T>): Promise<T> {
  const mine = promises.answering.then(work, work)
  promises.answering = mine.catch(() => undefined)
  return mine
}

async function answer(
  keeper: Keeper,
  question: PromiseQuestion,
  signal: AbortSignal,
): Promise<PromiseAnswer> {
  const { ports } = keeper
  const declined = (why: string): PromiseAnswer => ({ kind: "declined", why })
  const ready = canPromise(keeper) && keeper.promises.recalled && keeper.claim.kind === "mine"
  if (!ready) return declined("it promises nothing")
  const why = refusalNow(keeper, question)
  if (why !== null) return declined(why)
  if (!isBlind(keeper) && (await reachesStore(keeper, probeBound(question.width), signal)))
    return declined("it reaches the store")
  // while it looked, the store may have told it to promote
  const changed = refusalNow(keeper, question)
  if (changed !== null) return declined(changed)
  const { epoch, asker: to, width } = question
  const before = keeper.promised
  const made = { epoch, keeper: to, width }
  // from here on no plan promotes: one that was made while it is being written would break it
  keeper.promised = { epoch, keeper: to, until: millis(Infinity) }
  try {
    await ports.postgres.promise(toKeep(before, made, ports.clock.now().mono), signal)
  } catch (error) {
    keeper.promised = before
    throw error
  }
  keeper.promised = bound(before, made, ports.clock.now().mono)
  keeper.promises.made.ring()
  if (before === null) ports.log.event(event("promise.given", { to, epoch, for: width }))
  return { kind: "promised" }
}

const refusalNow = (keeper: Keeper, question: PromiseQuestion): string | null => {
  const { options, promises, local, work, writes } = keeper
  const promoting =
    writes || keeper.promoting || (work !== null && makesPrimary(work.step, work.local))
  const view = promises.newest?.data ?? null
  return refusal(question, { uid: options.uid, view, local, promoting })
}

/**
 * It reads what the store holds and cannot use it: nobody is promoted here, and an asker that is no
 * better off cannot renew though the store is there. To cut it would help nobody (P6).
 */
const isBlind = ({ trouble, storeFailed }: Keeper): boolean => trouble !== "" && !storeFailed

/**
 * As a renewal would reach it: an info that is acknowledged. Reading alone proves nothing: a store
 * that is full still answers, and nobody could depose or elect there.
 */
function reachesStore(keeper: Keeper, most: Millis, signal: AbortSignal): Promise<boolean> {
  const { promises, ports } = keeper
  promises.probing ??= (async () => {
    const over = new AbortController()
    const bounded = ports.clock.deadline(most, AbortSignal.any([signal, over.signal]))
    try {
      return await publishNow(keeper, bounded)
    } catch {
      return false
    } finally {
      over.abort()
      promises.probing = null
    }
  })()
  return promises.probing
}

/** O4: counted by whoever asks from before the question. */
function leaseAnswer(keeper: Keeper): LeaseAnswer {
  const { options, lease, writes, rule, promises, ports } = keeper
  const view = promises.newest?.data ?? null
  if (view === null) throw new Error("it has not read the cluster's view yet")
  const given = leasable(view, asker(keeper))
  const same = given?.db === lease?.db && given?.epoch === lease?.epoch
  const remaining = lease === null ? 0 : lease.until - ports.clock.now().mono
  const runs = lease !== null && same && writes && rule.used.on && remaining > 0
  return {
    cluster: view.cluster.uid,
    keeper: options.uid,
    lease: runs ? { db: lease.db, epoch: lease.epoch, remaining: millis(remaining) } : null,
    serves: served(keeper),
  }
}

function served({ local }: Keeper): LeaseAnswer["serves"] {
  if (local === null || local.server.kind !== "up" || local.db === null) return null
  const { systemID, inRecovery: recovering } = local.server
  return { db: local.db.uid, systemID, recovering }
}

// keeping

/** Forgets a promise when it has lapsed; until then the plan waits for it by itself. */
function lapsing(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const { promises, ports } = keeper
  const { clock, postgres } = ports
  return forever(
    () =>
      inTurn(keeper, async () => {
        const { promised } = keeper
        if (promised === null || promised.until > clock.now().mono) return
        keeper.promised = null
        keeper.wake.ring()
        keeper.news.ring()
        // a file that stays behind only delays the keeper's next life
        await postgres.promise(null, signal)
      }),
    () => promises.made.wait(clock, lapsePause(keeper), signal),
    ports.log,
    signal,
  )
}

function lapsePause({ promised, ports }: Keeper): Millis {
  if (promised === null) return noPause
  return millis(Math.max(1, Math.min(promised.until - ports.clock.now().mono, noPause)))
}
const noPause = millis(3_600_000)
