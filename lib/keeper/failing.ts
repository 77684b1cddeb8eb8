/**
 * D3: a primary whose PostgreSQL died is started again in place, once; when it does not answer
 * within failInterval and somebody else could take over, its keeper gives it up: it certifies that
 * PostgreSQL is stopped for good in this epoch, and whoever leads elects at once. A PostgreSQL that
 * lives and does not answer is another matter and never given up here (D5).
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { Epoch } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import { zeroLsn } from "#base/lsn.ts"
import type { Local } from "#model/local.ts"
import type { Memory } from "./memory.ts"
import { type Outline, type World, outline, running, stop } from "./outline.ts"
import { type Settings, urgentEscalation } from "./settings.ts"

/**
 * With the note since when PostgreSQL is gone. One that this keeper has not seen up gets all the
 * time that it needs: after a reinstatement (W7) there was nobody to take over, and whoever ends a
 * long recovery every few seconds never comes to its end.
 */
export function notedDown(world: World): World {
  const { local, memory, now, want } = world
  const { server } = local
  const before = forgiven(world)
  const died = server.kind === "down" && before.wasUp
  const since = died ? (before.downSince ?? now) : before.downSince
  const answers = server.kind === "up" || (server.kind === "starting" && server.refused === true)
  const downSince = answers ? null : since
  const downIn = downSince === null ? null : (want.heirsIn ?? before.downIn)
  const same = downSince === memory.downSince && downIn === memory.downIn
  return same ? world : { ...world, memory: { ...before, downSince, downIn } }
}

/**
 * The time counts in one epoch. Its guardian may have certified the end where this keeper did not
 * get to it, and by the next epoch it was put back: what ended the last one must not end this, too.
 */
function forgiven({ memory, want: { heirsIn } }: World): Memory {
  const { downIn } = memory
  return downIn === null || heirsIn === undefined || heirsIn === downIn
    ? memory
    : { ...memory, downSince: null, downIn: null, wasUp: false }
}

/** The steps that give the primary up, or null while it may come back. */
export function givenUp(world: World): Outline | null {
  const { want, memory, local, now, settings } = world
  const due = dueOf(world)
  if (due === null || want.heirsIn === undefined || now < due || memory.working !== null)
    return null
  const why = "PostgreSQL did not come back in time"
  const end = running(local) ? [stop(why, false, urgentEscalation)] : []
  const certificate = certificateOf(want.heirsIn, want.db.uid, why, local, settings)
  return outline(world, [...end, { kind: "certify", certificate }])
}

/** When to look again at the latest; null: nothing is waited for. */
export function dueOf({ want, memory, local }: World): Millis | null {
  const { downSince } = memory
  const applied = local.db.uid === want.db.uid && local.db.generation > 0
  if (want.heirsIn === undefined || downSince === null || !applied) return null
  return millis(downSince + toMillis(want.spec.failInterval))
}

/** What is certified once PostgreSQL is stopped. */
export const certificateOf = (
  epoch: Epoch,
  dbuid: Certificate["dbuid"],
  reason: string,
  local: Local,
  { boot: bootUUID }: Settings,
): Certificate => ({ epoch, bootUUID, dbuid, finalLSN: finalLsn(local), reason })

/** Where the log ends, when PostgreSQL ended in good order; else nobody knows. */
function finalLsn({ data }: Local): Certificate["finalLSN"] {
  const control = data.kind === "initialized" ? data.control : null
  return control?.state === "shut down" ? control.checkpoint : zeroLsn
}
