/**
 * Publishing what is there: on every beat, and at once when something changed that others wait for.
 * It looks itself, right before it publishes: leaders choose by positions, and those must be
 * younger than the question (W2, W8).
 */
import { millis } from "#base/brand.ts"
import { keeperInfo, urgentPart } from "#keeper/info.ts"
import { isLedByUs } from "#model/cluster.ts"
import { infoUID } from "#model/ids.ts"
import type { Local } from "#model/local.ts"
import { type Keeper, settingsOf } from "./keeper-state.ts"

export async function publishing(keeper: Keeper, signal: AbortSignal): Promise<void> {
  if (keeper.claim.kind !== "mine") return
  const { store, postgres } = keeper.ports
  const info = infoOf(keeper, await postgres.observe(signal))
  if (info === null) return
  const ttl = millis(Math.max(ttlMin, 2 * keeper.sleepInterval))
  await store.publish({ kind: "keeper", info }, ttl, signal)
  keeper.published = urgentPart(info)
}
const ttlMin = 20_000

/** After a look of the tick: wakes the publishing when it has something to say. */
export function announce(keeper: Keeper): void {
  const known = keeper.claim.kind === "mine" ? keeper.local : null
  const info = known === null ? null : infoOf(keeper, known)
  if (info !== null && urgentPart(info) !== keeper.published) keeper.news.ring()
}

const infoOf = (keeper: Keeper, local: Local): ReturnType<typeof keeperInfo> =>
  keeperInfo(
    {
      local,
      settings: settingsOf(keeper),
      desired: keeper.desired,
      work: workText(keeper, local),
      ledByUs: keeper.view?.data != null && isLedByUs(keeper.view.data),
    },
    infoUID(keeper.ports.chance.uid()),
  )

/** What is done now; between two attempts at something that PostgreSQL needs, what went wrong. */
function workText({ work, progress, failure }: Keeper, local: Local): string {
  if (work === null && local.unwritable !== null) return `cannot write: ${local.unwritable}`
  if (work === null) return local.server.kind === "up" ? "" : failure
  return progress === "" ? work.step.kind : progress
}
