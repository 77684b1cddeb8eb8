/**
 * `stolon keeper --dry-run`: reads the view, looks at the machine, and prints the plan that this
 * keeper would begin with, as if the leader had seen its start. It writes nothing: not to the
 * store, not to the data directory, and it takes no lock, so it may be used beside the keeper that
 * runs.
 */
import { fieldsOf } from "#agent/keeper-work.ts"
import type { KeeperUID } from "#model/ids.ts"
import { bootUUID } from "#model/ids.ts"
import { emptyMemory } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import type { Settings } from "#keeper/settings.ts"
import { planText } from "#keeper/told.ts"
import { lookOnce } from "#postgres/look.ts"
import type { PostgresSettings } from "#postgres/settings.ts"
import { openStore } from "#store/open.ts"
import { realClock } from "#system/clock.ts"
import { print } from "./front.ts"

export interface Rehearsal {
  readonly store: Parameters<typeof openStore>[0]
  readonly postgres: PostgresSettings
  /** With the uid by flag; empty: the saved one. */
  readonly settings: Omit<Settings, "boot">
}

export async function rehearse(it: Rehearsal, signal: AbortSignal): Promise<number> {
  await using store = await openStore(it.store, signal)
  const local = await lookOnce(it.postgres, signal)
  const uid: KeeperUID = local.keeper.uid === "" ? it.settings.uid : local.keeper.uid
  if (uid === "")
    throw new Error("this keeper has no uid yet: it takes one at its first start, or by --uid")
  const reading = await store.read(signal)
  const view = reading.kind === "found" ? reading.data : null
  const boot = view?.keepers.get(uid)?.status.bootUUID ?? bootUUID("")
  const settings = { ...it.settings, uid, boot }
  const planned = plan({ view, local, settings }, emptyMemory, realClock.now().mono)
  await print(`keeper ${uid}\n${planText(planned, fieldsOf)}`)
  return 0
}
