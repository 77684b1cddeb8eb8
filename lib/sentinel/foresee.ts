/**
 * What would become of a switchover that is asked for now, for `ctl switchover --dry-run`: the
 * leader's own checks (S1), asked about one look at the store. It is a forecast and binds nobody;
 * the leader looks again.
 */
import { millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import type { ClusterData, Switchover } from "#model/cluster.ts"
import { type KeeperUID, keeperUID, nonce } from "#model/ids.ts"
import type { Infos } from "#model/info.ts"
import { trusting } from "./explain.ts"
import { observe } from "./facts.ts"
import { emptyMemory, watch } from "./memory.ts"
import { look } from "./switchover.ts"

export type Forecast =
  | {
      readonly kind: "target"
      readonly keeper: KeeperUID
      readonly instead: KeeperUID
      /** Commits wait for other standbys; it is named first. */
      readonly named: boolean
    }
  /** Refused, or waited for and refused if it does not pass. */
  | { readonly kind: "refused"; readonly why: string }

/** @param wanted Null: the leader chooses. */
export function foresee(data: ClusterData, infos: Infos, wanted: KeeperUID | null): Forecast {
  const now = { mono: millis(0), wall: data.changeTime }
  const memory = trusting(watch(emptyMemory, { data, infos }, now), data)
  const facts = observe({ data, infos }, memory, now)
  const { primary } = facts
  if (primary === null) return { kind: "refused", why: "there is no primary" }
  if (data.cluster.status.primaryRevoked)
    return { kind: "refused", why: "a failover is in progress" }
  const keeper = wanted ?? keeperUID("")
  const asked: Switchover = { nonce: nonce(""), keeper, drain: duration(0), phase: "asked" }
  const choice = look(data, facts, primary, asked)
  const instead = primary.keeper.uid
  if (choice.kind === "target")
    return { kind: "target", keeper: choice.fact.keeper.uid, instead, named: false }
  return choice.kind === "wait" && choice.on === "name"
    ? { kind: "target", keeper, instead, named: true }
    : { kind: "refused", why: choice.why }
}
