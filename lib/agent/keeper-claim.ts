/**
 * Looks, until the uid is known to be this keeper's, at what is published under it (D-16). Until
 * then nothing is published, planned or done; a PostgreSQL that was found running goes on, unless
 * somebody else turns out to be the keeper: then the guardian is told nothing any more and ends it.
 */
import { type Claimant, claim, claimPause } from "#keeper/claim.ts"
import { event } from "#model/events.ts"
import type { Local } from "#model/local.ts"
import type { Keeper } from "./keeper-state.ts"

/** True when the keeper may act. Throws when the store cannot tell. */
export async function claimed(keeper: Keeper, local: Local, signal: AbortSignal): Promise<boolean> {
  if (keeper.claim.kind === "mine") return true
  const { store, clock, log } = keeper.ports
  const { uid } = keeper.options
  const info = (await store.infos(signal)).keepers.get(uid)
  const before = keeper.claim
  keeper.claim = claim(before, info, claimant(keeper, local), clock.now().mono)
  if (keeper.claim.kind === "taken" && before.kind !== "taken") {
    const at = info?.postgresState
    log.event(event("keeper.duplicate", { uid, at: `${at?.listenAddress}:${at?.port}` }))
  }
  return keeper.claim.kind === "mine"
}

const claimant = ({ ports, sleepInterval }: Keeper, local: Local): Claimant => ({
  boot: ports.postgres.boot,
  db: local.db.uid,
  sleepInterval,
})

/** Until the next look. */
export const claimWait = (keeper: Keeper, local: Local): ReturnType<typeof claimPause> =>
  claimPause(claimant(keeper, local))
