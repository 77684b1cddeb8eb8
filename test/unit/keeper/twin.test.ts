/** Two primaries that were promoted from the same place have histories that look alike. */
import { expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { judge } from "#keeper/branch.ts"
import { other, systemID } from "./build.ts"

test("judge() never lets a primary that was promoted to a timeline follow another that was promoted to the same one", () => {
  // k2 and k3 stood at 1000 on timeline 1. k2 was promoted (timeline 2 from 1000), wrote up to
  // 1100, was
  // stopped in good order before k3 heard of it; k3 was promoted: timeline 2 from 1000, too.
  const fork = { timelineID: 1, switchPoint: lsn(1000n), reason: "no recovery target specified" }
  const k3 = other({}, { timelineID: 2, xLogPos: lsn(5000n), timelinesHistory: [fork] }).status
  const k2 = {
    kind: "initialized",
    role: "master",
    systemID,
    major: 15,
    control: {
      systemID,
      state: "shut down",
      checkpoint: lsn(1100n),
      timeline: 2,
      minRecoveryEnd: lsn(0n),
      checksums: true,
      walLogHints: true,
    },
    newest: 2,
    history: [fork],
  } as const
  expect(judge(k2, k3)).not.toBe("on")
})
