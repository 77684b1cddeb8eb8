/**
 * What the simulator's people and supervisors do by themselves: what the agents are judged by in
 * random runs (P5) must not come from a person who acts on yesterday's news, or from a supervisor
 * that forgets the usual flags.
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { event } from "#model/events.ts"
import { keeperFlags } from "#test/sim/agents.ts"
import { otherFlags } from "#test/sim/mishaps.ts"
import { removeKeeper } from "#test/sim/operator.ts"
import { followAdvice } from "#test/sim/vopr.ts"
import { type Story, story } from "./story.ts"

/** The standby's keeper asks a person to remove it. */
function ask(s: Story, standby: string): void {
  const asked = event("plan.blocked", { why: "no data", resolve: "stolon ctl removekeeper" })
  for (const hook of s.sim.hooks.said) hook(standby, asked)
}

test("two mishaps with a keeper's flags that overlap leave it with the usual ones", () => {
  using s = story()
  s.rest()
  const node = s.node(s.standby())
  const heals = []
  while (node.flags.canBeMaster) heals.push(otherFlags(s.sim, node))
  heals.push(otherFlags(s.sim, node))
  for (const heal of heals) heal()
  expect(node.flags).toEqual(keeperFlags(node.name))
  s.rest()
})

test("a person who is asked to remove a keeper does so", () => {
  using s = story()
  followAdvice(s.sim, s.operator)
  s.rest()
  const standby = s.standby()
  const before = s.dbOf(standby)
  ask(s, standby)
  s.run(25)
  s.rest()
  expect(s.dbOf(standby)).not.toBe(before)
})

test("a person who was asked to remove a keeper leaves it alone once it has another DB", () => {
  using s = story()
  followAdvice(s.sim, s.operator)
  s.rest()
  const standby = s.standby()
  ask(s, standby)
  s.ctl(`removekeeper ${standby}`, removeKeeper(keeperUID(standby)))
  s.rest()
  const now = s.dbOf(standby)
  s.run(25)
  expect(s.dbOf(standby)).toBe(now)
})
