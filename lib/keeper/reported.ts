/**
 * What the keeper publishes of the parameters that its instance runs with: never what it manages
 * itself, which a leader would otherwise freeze into the specification.
 */
import { sortedEntries } from "#base/order.ts"
import { recall } from "#base/recall.ts"
import type { DB } from "#model/cluster.ts"
import type { Parameters } from "./conf.ts"
import { rowOf } from "./parameters.ts"

/**
 * What the keeper reports of the instance's own parameters: nothing that it manages, or it would be
 * frozen into the specification.
 */
export function reportedParameters(file: Parameters, db: DB | null): Parameters {
  const user = db?.spec.pgParameters ?? nobodys
  return reported(file, [user], () => reportOf(file, user))
}
const nobodys: Parameters = new Map()
const reported = recall<Parameters>(2)

function reportOf(file: Parameters, user: Parameters): Parameters {
  const kept = sortedEntries(file).flatMap(([name, value]): (readonly [string, string])[] => {
    const owner = rowOf(name)?.owner ?? "user"
    if (owner === "keeper" || owner === "floor" || name.startsWith("stolon.")) return []
    if (owner !== "default") return [[name, value]]
    const theirs = user.get(name)
    return theirs === undefined ? [] : [[name, theirs]]
  })
  return new Map(kept)
}
