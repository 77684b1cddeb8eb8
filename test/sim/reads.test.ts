/**
 * Proxies with a port for reads, in runs like all others: every promise holds while clients sit on
 * standbys and write as soon as they can, and no proxy has a session on a primary that was deposed
 * where it is proxies that fence.
 * `READS_SEEDS=2000 bun test test/sim/reads.test.ts` for more.
 */
import { expect, test } from "bun:test"
import { runSeed } from "./vopr.ts"

const seeds = Number(process.env["READS_SEEDS"] ?? "25")

/** Without leases it is proxies that have to let go, also of a standby that was promoted. */
const promotions = ["cutThenProxies", "killMachine", "storeGone", "freezeProxy"]

test.each([
  ["whatever happens", []],
  ["while primaries change and proxies are cut off", promotions],
])(
  `${seeds} seeds with sessions on standbys keep every promise, %s`,
  (_, focus) => {
    let [joined, left] = [0, 0]
    for (let seed = 1; seed <= seeds; seed++) {
      const { violations, sim } = runSeed(seed, focus, true)
      expect([seed, violations]).toEqual([seed, []])
      joined += sim.coverage.counts.get("event reads.joined") ?? 0
      left += sim.coverage.counts.get("event reads.left") ?? 0
    }
    expect([joined > 2 * seeds, left > 2 * seeds]).toEqual([true, true])
  },
  Math.max(60_000, 2_000 * seeds),
)
