/** D-34: planned switchovers, with everybody in place and with somebody lost on the way. */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import { requestSwitchover } from "#ctl/request.ts"
import { keeperUID, nonce } from "#model/ids.ts"
import { type Story, story } from "./story.ts"

const wanted = nonce("51700001")
const ask = (s: Story, keeper = ""): void =>
  s.operator.change(
    "switchover",
    requestSwitchover(wanted, keeper === "" ? null : keeperUID(keeper), millis(5_000)),
  )
const phase = (s: Story): string => s.view().cluster.status.switchover?.phase ?? ""
const answer = (s: Story): string => {
  const { answered } = s.view().cluster.status
  return answered?.nonce === wanted ? (answered.done ? "done" : answered.why) : "none"
}
const answered = (s: Story): string => {
  s.until("the wish is answered", () => answer(s) !== "none")
  return answer(s)
}

for (const synchronous of [false, true])
  describe(`a switchover, ${synchronous ? "synchronous" : "asynchronous"}`, () => {
    const spec = { synchronousReplication: synchronous, convergenceTimeout: duration(30_000) }

    test("D-34 moves the primary in good order: nobody fails, nobody is rewound", () => {
      using s = story({ keepers: 3, proxies: 2, spec })
      s.rest()
      const [old, acknowledged] = [s.primary(), s.writers.acknowledged()]
      s.told()
      ask(s)
      expect(answered(s)).toBe("done")
      expect(s.primary()).not.toBe(old)
      const told = s.told()
      expect(told).not.toContain("s1 primary.failed")
      expect(told).toContain("first certificate.issued")
      s.rest()
      expect(s.told()).not.toContain("first step rewind")
      expect(s.writers.acknowledged()).toBeGreaterThan(acknowledged)
    })

    for (const at of ["checkpoint", "hold", "stop", "promote"] as const) {
      const reach = (s: Story): string => {
        s.rest()
        const old = s.primary()
        ask(s)
        for (let i = 0; i < 4_000 && phase(s) !== at && answer(s) === "none"; i++) s.run(0.005)
        return old
      }
      test(`is whole again when the primary's machine dies in phase ${at}`, () => {
        using s = story({ keepers: 3, spec })
        reach(s)
        const dead = s.primary()
        s.powerOff(dead)
        answered(s)
        s.powerOn(dead)
        s.rest()
        expect(phase(s)).toBe("")
      })
      test(`is whole again when the target's machine dies in phase ${at}`, () => {
        using s = story({ keepers: 3, spec })
        const old = reach(s)
        const target = s.view().cluster.status.switchover?.keeper ?? s.primary()
        s.powerOff(target)
        answered(s)
        if (at !== "promote") s.until("somebody serves", () => s.primary() !== target)
        s.powerOn(target)
        s.rest()
        expect([phase(s), old === ""]).toEqual(["", false])
      })
      test(`is led on by another sentinel when the leader dies in phase ${at}`, () => {
        using s = story({ keepers: 3, sentinels: 2, spec })
        const old = reach(s)
        const leader = s.leader()
        s.kill(leader)
        expect(answered(s)).toBe("done")
        expect(s.primary()).not.toBe(old)
        s.start(leader)
        s.rest()
      })
      test(`does not wait for ever for a proxy that dies in phase ${at}`, () => {
        using s = story({ keepers: 3, proxies: 2, spec })
        reach(s)
        s.kill("p2")
        expect(answered(s)).toBe("done")
        s.start("p2")
        s.rest()
      })
    }
  })

test("a switchover to the standby that no commit waits for makes it synchronous first, and loses nothing", () => {
  const spec = { synchronousReplication: true, convergenceTimeout: duration(30_000) }
  using s = story({ keepers: 3, proxies: 2, spec })
  s.rest()
  const old = s.primary()
  const [named = ""] = s.postgres(old).inForce?.names ?? []
  const other = s.standbys().find((name) => `stolon_${s.dbOf(name)}` !== named) ?? ""
  ask(s, other)
  s.until("commits wait for both", () => s.postgres(old).inForce?.names.length === 2)
  expect(answered(s)).toBe("done")
  expect(s.primary()).toBe(other)
  s.rest()
  expect(s.postgres(other).inForce?.names.length).toBe(1)
})

test("a switchover to a standby that cannot keep up with commits leaves everything as it was", () => {
  const spec = { synchronousReplication: true, convergenceTimeout: duration(10_000) }
  using s = story({ keepers: 3, spec })
  s.rest()
  const old = s.primary()
  const names = s.postgres(old).inForce?.names ?? []
  const other = s.standbys().find((name) => !names.includes(`stolon_${s.dbOf(name)}`)) ?? ""
  ask(s, other)
  s.powerOff(other)
  expect(answered(s)).toContain(other)
  s.until("commits wait for the one of before alone", () => {
    const now = s.postgres(old).inForce?.names ?? []
    return now.join() === names.join()
  })
  expect(s.primary()).toBe(old)
  s.powerOn(other)
  s.rest()
})
