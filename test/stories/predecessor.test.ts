/**
 * The new primary loses power between its election and the opening of its gate. The old one has
 * stopped in good order and nobody wrote since: it serves again, and nothing is lost (W7).
 */
import { expect, test } from "bun:test"
import { keeperUID } from "#model/ids.ts"
import { failover } from "#test/sim/operator.ts"
import { story } from "./story.ts"

for (const synchronousReplication of [false, true])
  test(`an old primary serves again when its successor dies before it opened, synchronous: ${synchronousReplication}`, () => {
    using s = story({ spec: { synchronousReplication } })
    s.rest()
    s.told()
    const old = s.primary()
    s.operator.change("failover", failover(s.sim, keeperUID("")))
    for (let i = 0; i < 1_000 && s.primary() === old; i++) s.run(0.01)
    const next = s.primary()
    expect([next === old, s.view().proxy.spec.masterDbUid === ""]).toEqual([false, true])
    s.powerOff(next)
    s.run(30)
    expect(s.told().filter((line) => line.startsWith("s1 primary."))).toEqual([
      "s1 primary.failed",
      "s1 primary.deposed",
      "s1 primary.fenced",
      "s1 primary.elected",
      "s1 primary.failed",
      "s1 primary.deposed",
      "s1 primary.fenced",
      "s1 primary.reinstated",
    ])
    expect(s.primary()).toBe(old)
    s.powerOn(next)
    s.rest()
    expect(s.standbys()).toEqual([next])
  })
