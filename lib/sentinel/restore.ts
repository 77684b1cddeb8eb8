/**
 * Puts back what a Go leader drops (protocol L6): it does not know `selfFencing` and rewrites the
 * specification without it. The keepers keep to the mode that they saw and say so, so a leader of
 * ours knows that it was on; `false` in the specification is the only word that turns it off. The
 * other settings of ours cannot be known from infos: without them the cluster is more patient, not
 * less safe.
 */
import type { Reducer } from "./round.ts"

export const restoreSpec: Reducer = (data, round) => {
  const { spec } = data.cluster
  if (spec.selfFencing !== undefined) return data
  const fenced = [...round.facts.keepers.values()].filter(
    ({ alive, info }) => alive && (info?.fencing !== undefined || info?.electable !== undefined),
  )
  if (fenced.length === 0) return data
  round.say("spec.restored", { keepers: fenced.map(({ uid }) => uid).join(",") })
  return { ...data, cluster: { ...data.cluster, spec: { ...spec, selfFencing: true } } }
}
