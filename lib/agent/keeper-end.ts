/**
 * A primary's keeper that ends in good order says so first, stops PostgreSQL, and says that too
 * (D2): where the leader acts on evidence, a standby is promoted at once and loses nothing, because
 * the last WAL was sent to it before. Every word is bounded: a store that is away delays no end.
 */
import { millis } from "#base/brand.ts"
import { hasHeirs } from "#keeper/desire.ts"
import { certificateOf } from "#keeper/failing.ts"
import { stop } from "#keeper/outline.ts"
import { urgentEscalation } from "#keeper/settings.ts"
import { dbOfKeeper } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import type { Epoch } from "#model/ids.ts"
import { look, publishNow } from "./keeper-publish.ts"
import { type Keeper, settingsOf } from "./keeper-state.ts"
import { carryOut } from "./keeper-work.ts"

/** For one publish at the end. */
const wordMost = millis(1_000)

/** Says that a primary is about to stop; its epoch, or null: nothing is to be said. */
export async function lastWords(keeper: Keeper): Promise<Epoch | null> {
  const data = keeper.view?.data ?? null
  if (data === null || keeper.claim.kind !== "mine" || !keeper.writes) return null
  const { primaryEpoch, primaryRevoked } = data.cluster.status
  const db = dbOfKeeper(data, keeper.options.uid)
  if (db === undefined || primaryRevoked || !hasHeirs(data, db)) return null
  keeper.ending = true
  await say(keeper)
  return primaryEpoch
}

/** Stops PostgreSQL, and certifies that it is stopped for good in this epoch. */
export async function certifyEnd(keeper: Keeper, epoch: Epoch): Promise<void> {
  const { signal } = new AbortController()
  const why = "the keeper ends"
  if (!(await carryOut(keeper, stop(why, false, urgentEscalation), signal))) return
  const local = await look(keeper, signal)
  if (local.postmaster || local.server.kind !== "down") return
  const certificate = certificateOf(epoch, local.db.uid, why, local, settingsOf(keeper))
  if (!(await carryOut(keeper, { kind: "certify", certificate }, signal))) return
  await look(keeper, signal)
  await say(keeper)
}

async function say(keeper: Keeper): Promise<void> {
  const { clock, log } = keeper.ports
  const { signal } = new AbortController()
  try {
    await publishNow(keeper, clock.deadline(wordMost, signal))
  } catch (error) {
    log.event(event("store.failed", { error: String(error) }))
  }
}
