/**
 * What happened between two looks at a cluster, in lines for people: the progress of `stolon dev`
 * and its only output where there is no terminal. A function of two values; nothing that did not
 * change is told again.
 */
import type { KeeperUID } from "#model/ids.ts"
import type { Facts, Member } from "./status.ts"
import { stateOf } from "./status-text.ts"

/** One line; `who` is a member or `cluster`. */
export interface News {
  readonly who: string
  readonly text: string
}

/** `before` is null at the first look. */
export function news(before: Facts | null, after: Facts): readonly News[] {
  return [
    ...(before?.phase === after.phase ? [] : [{ who: "cluster", text: after.phase }]),
    ...leadership(before, after),
    ...after.members.flatMap((member) => ofMember(find(before, member.keeper), member)),
    ...gone(before, after),
    ...primary(before, after),
  ]
}

const find = (facts: Facts | null, keeper: KeeperUID): Member | null =>
  facts?.members.find((member) => member.keeper === keeper) ?? null

function leadership(before: Facts | null, after: Facts): readonly News[] {
  if (before?.leader === after.leader || after.leader === null) return []
  return [{ who: "cluster", text: `sentinel ${after.leader} leads` }]
}

function ofMember(before: Member | null, after: Member): readonly News[] {
  if (before === null) return [{ who: after.keeper, text: summary(after) }]
  return summary(before) === summary(after) ? [] : [{ who: after.keeper, text: summary(after) }]
}

/** Positions and percentages move all the time and are no news; a timeline is. */
function summary(member: Member): string {
  const state = stateOf(member).replace(/\s*\d+\s*%.*/, "")
  const steady = state.startsWith("applying ") ? "running" : state
  if (member.role === "none") return steady
  const timeline =
    member.timeline === null || member.work !== null ? "" : `, timeline ${member.timeline}`
  return `${member.role}, ${steady}${timeline}`
}

const gone = (before: Facts | null, after: Facts): readonly News[] =>
  (before?.members ?? [])
    .filter((member) => find(after, member.keeper) === null)
    .map((member) => ({ who: member.keeper, text: "no longer part of the cluster" }))

function primary(before: Facts | null, after: Facts): readonly News[] {
  const [old, now] = [gateOf(before), gateOf(after)]
  return old === now || now === null ? [] : [{ who: "cluster", text: now }]
}

function gateOf(facts: Facts | null): string | null {
  if (facts === null || facts.primary === null) return null
  const who = facts.primary.keeper ?? facts.primary.db
  if (facts.primary.revoked) return `the primary on ${who} is deposed`
  return facts.primary.gateOpen
    ? `open to clients, primary on ${who}`
    : `closed to clients until the primary on ${who} is ready`
}
