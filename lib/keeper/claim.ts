/**
 * Whether this keeper may use its uid (D-16). Two keepers with one uid overwrite each other's info:
 * the leader takes the second for a restart of the first, whose PostgreSQL then stops. So before a
 * keeper says or does anything it looks at what is published under its uid. Whoever is there stays,
 * the newcomer waits.
 *
 * What is left of an earlier life of this keeper, which expires only after a while, must not hold
 * it up (T11): it names the DB that this data directory holds, and no other directory does. Only
 * where that does not tell is the info watched: it is somebody's as long as it changes (G7). Only
 * time counts over which the store was read: while it answers nobody, nobody publishes (W6).
 */
import { type Millis, millis } from "#base/brand.ts"
import type { BootUUID, DBUID, InfoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"

export type Claim =
  /** Not looked yet. */
  | { readonly kind: "open" }
  /** Somebody's info, or what is left of one. */
  | ({ readonly kind: "watched" } & Watch)
  /** Another keeper publishes under this uid. */
  | ({ readonly kind: "taken" } & Watch)
  | { readonly kind: "mine" }

/** An info, when it was last looked at, and for how long it has been seen to be the same. */
interface Watch {
  readonly last: InfoUID
  readonly looked: Millis
  readonly quiet: Millis
}

export interface Claimant {
  readonly boot: BootUUID
  /** What the data directory holds. */
  readonly db: DBUID
  readonly sleepInterval: Millis
}

/** The next state, from what is published under the uid now. */
export function claim(
  before: Claim,
  seen: KeeperInfo | undefined,
  own: Claimant,
  now: Millis,
): Claim {
  if (before.kind === "mine" || seen === undefined) return { kind: "mine" }
  if (before.kind !== "taken" && isOurs(seen, own)) return { kind: "mine" }
  const watch: Watch = { last: seen.infoUID, looked: now, quiet: millis(0) }
  if (before.kind === "open") return { kind: "watched", ...watch }
  if (before.last !== seen.infoUID) return { kind: "taken", ...watch }
  const passed = Math.min(now - before.looked, own.sleepInterval)
  const quiet = millis(before.quiet + passed)
  return quiet >= silence(own) ? { kind: "mine" } : { ...before, looked: now, quiet }
}

const isOurs = ({ bootUUID, postgresState }: KeeperInfo, { boot, db }: Claimant): boolean =>
  bootUUID === boot || (db !== "" && postgresState?.uid === db)

/** Somebody who lives publishes twice in this time. */
const silence = ({ sleepInterval }: Claimant): Millis => millis(2 * sleepInterval + 1_000)
/** When to look again. */
export const claimPause = ({ sleepInterval }: Claimant): Millis => millis(sleepInterval / 2)
