/** Which old data can follow without a copy, from control data and switch points alone. */
import { describe, expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { type Whole, diverged, judge } from "#keeper/branch.ts"
import type { DBStatus, TimelineHistory } from "#model/cluster.ts"
import type { Control } from "#model/local.ts"
import { other, systemID } from "./build.ts"

const fork = (timelineID: number, at: bigint): TimelineHistory => ({
  timelineID,
  switchPoint: lsn(at),
  reason: "",
})
/** On timeline 2 since 1000, at 2000. */
const followed = (change: Partial<DBStatus> = {}): DBStatus => other({}, change).status
const data = (control: Partial<Control>, history: readonly TimelineHistory[] = []): Whole => ({
  kind: "initialized",
  role: "master",
  systemID,
  major: 15,
  control: {
    systemID,
    state: "shut down",
    checkpoint: lsn(900n),
    timeline: 1,
    minRecoveryEnd: lsn(0n),
    checksums: true,
    walLogHints: false,
    ...control,
  },
  newest: 1,
  history,
})
const standby = { state: "shut down in recovery" }

describe("judge()", () => {
  test("an old primary that ended before the switch can follow", () => {
    expect(judge(data({ checkpoint: lsn(999n) }), followed())).toBe("on")
  })
  test("an old primary whose shutdown checkpoint was not received cannot", () => {
    expect(judge(data({ checkpoint: lsn(1000n) }), followed())).toBe("off")
    expect(judge(data({ checkpoint: lsn(1200n) }), followed())).toBe("off")
  })
  test("a primary that was killed cannot be judged by its checkpoint", () => {
    expect(judge(data({ state: "in production" }), followed())).toBe("off")
  })
  test("nothing is said of a DB that has not reported beyond the end", () => {
    const before = followed({ timelineID: 1, timelinesHistory: [], xLogPos: lsn(900n) })
    expect(judge(data({ checkpoint: lsn(900n) }), before)).toBe("unsure")
    expect(judge(data({ checkpoint: lsn(899n) }), before)).toBe("on")
    expect(judge(data({ timeline: 3 }), followed())).toBe("unsure")
    expect(judge(data({}), followed({ timelineID: 0 }))).toBe("unsure")
  })
  test("a former standby may have ended at the switch itself, or on the new timeline", () => {
    expect(judge(data({ ...standby, minRecoveryEnd: lsn(1000n) }), followed())).toBe("on")
    expect(judge(data({ ...standby, minRecoveryEnd: lsn(1001n) }), followed())).toBe("off")
    const moved = data({ ...standby, minRecoveryEnd: lsn(1500n) }, [fork(1, 1000n)])
    expect(judge(moved, followed())).toBe("on")
    const elsewhere = data({ ...standby, minRecoveryEnd: lsn(1500n) }, [fork(1, 950n)])
    expect(judge(elsewhere, followed())).toBe("off")
  })
  test("another cluster's data never follows", () => {
    expect(judge({ ...data({}), systemID: "1" }, followed())).toBe("off")
  })
  test("a history that names only its last two forks proves nothing about earlier ones", () => {
    const short = followed({ timelineID: 5, timelinesHistory: [fork(3, 500n), fork(4, 1000n)] })
    const old = data({ timeline: 4, checkpoint: lsn(900n) }, [
      fork(1, 100n),
      fork(2, 200n),
      fork(3, 500n),
    ])
    expect(judge(old, short)).toBe("on")
    expect(judge(data({ timeline: 4, checkpoint: lsn(900n) }, [fork(3, 501n)]), short)).toBe("off")
  })
})

describe("diverged()", () => {
  const own = { timeline: 2, position: lsn(1500n), history: [fork(1, 1000n)] }
  test("tells a standby that is ahead of the timeline, forked elsewhere, or went past the switch", () => {
    expect(diverged(followed(), own)).toBeFalse()
    expect(diverged(followed(), { ...own, timeline: 3 })).toBeTrue()
    expect(diverged(followed(), { ...own, history: [fork(1, 900n)] })).toBeTrue()
    expect(diverged(followed(), { timeline: 1, position: lsn(1001n), history: [] })).toBeTrue()
    expect(diverged(followed(), { timeline: 1, position: lsn(1000n), history: [] })).toBeFalse()
  })
})
