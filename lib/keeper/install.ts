/**
 * Bringing a directory that was made beside into use: mark it complete, set the present one aside,
 * swap. Each of these steps leaves something from which the next plan goes on; at no moment is
 * there less than one whole copy (P3).
 */
import type { Reason, Step } from "#model/step.ts"
import { type World, discardSide, unmark } from "./outline.ts"

/**
 * Steps that remove what an earlier attempt for this or another DB left half done. PostgreSQL is
 * stopped.
 */
export function stale({ local, want, memory }: World): readonly Step[] {
  const { mark, side, data } = local
  const own = mark?.db === want.db.uid
  // a copy for another DB: its directory goes if it is still beside; swapped in already, it counts
  // as any other old data
  if (mark?.kind === "copied" && !own) return [unmark]
  if (mark?.kind === "copied" && !side && data.kind === "missing") return [unmark]
  if (mark?.kind === "setup" && (!own || want.db.spec.initMode === "resync"))
    return data.kind === "missing"
      ? [unmark]
      : [{ kind: "discard-data", reason: "a half-done initialisation is worthless" }, unmark]
  const complete = mark?.kind === "copied" || memory.done.has("side-complete")
  return side && !complete ? [discardSide("a half-done copy is worthless")] : []
}

const reasons: Readonly<Record<string, Reason>> = {
  new: "a new cluster begins here",
  pitr: "the cluster is restored from a backup",
}

/** From a complete side directory to a data directory in use, still marked. */
export function installSide({ local, want, memory }: World): readonly Step[] {
  const { mark, side, data } = local
  const copied: Step = { kind: "mark", mark: { kind: "copied", db: want.db.uid } }
  const swapped = mark?.kind === "copied" && !side
  if (swapped) return []
  // a copy of our own that never streamed is no loss while the original still lies aside
  const worthless = memory.copies > 0 && local.asides.length > 0
  const clear: Step = worthless
    ? { kind: "discard-data", reason: "a half-done copy is worthless" }
    : { kind: "set-aside", reason: reasons[want.db.spec.initMode] ?? "a fresh copy replaces it" }
  return [
    ...(mark?.kind === "copied" ? [] : [copied]),
    ...(data.kind === "missing" ? [] : [clear]),
    { kind: "swap-in" },
  ]
}
