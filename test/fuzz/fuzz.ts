/**
 * Random cases that can be repeated. Every case has a seed of its own, and a failure prints the
 * line that runs it alone. `make test` runs the same bounded number each time, so a red run is
 * never luck; more are asked for by hand:
 *
 *   FUZZ_CASES=200000 bun test test/fuzz             many more
 *   FUZZ_SEED=77 FUZZ_CASES=1 bun test test/fuzz     one again
 *
 * A case that takes long is a failure too: what is read here comes from strangers.
 */
import { test } from "bun:test"
import { type Random, generator } from "#base/random.ts"

const firstSeed = Number(process.env["FUZZ_SEED"] ?? 1)
const asked = process.env["FUZZ_CASES"]
/** Generous: two busy cores and a garbage collection must fit, a quadratic reader must not. */
const caseMs = 5_000
const allMs = 600_000

/** Registers a test that runs `work` on `cases` seeds. */
export function fuzz(name: string, cases: number, work: Work): void {
  const count = asked === undefined ? cases : Number(asked)
  test(
    name,
    async () => {
      for (let seed = firstSeed; seed < firstSeed + count; seed++) await runCase(name, seed, work)
    },
    allMs,
  )
}

type Work = (random: Random) => void | Promise<void>

async function runCase(name: string, seed: number, work: Work): Promise<void> {
  const start = performance.now()
  try {
    const done = work(generator(seed))
    if (done !== undefined) await done
    const ms = performance.now() - start
    if (ms > caseMs) throw new Error(`took ${Math.round(ms)} ms`)
  } catch (cause) {
    const why = cause instanceof Error ? `${cause.message}\n${cause.stack ?? ""}` : String(cause)
    const again = `FUZZ_SEED=${seed} FUZZ_CASES=1 bun test test/fuzz -t ${JSON.stringify(name)}`
    throw new Error(`seed ${seed}: ${why}\nagain: ${again}`, { cause })
  }
}

export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[random.below(items.length)]
  if (item === undefined) throw new Error("nothing to pick from")
  return item
}

/** For messages: what was tried, not more of it than a person reads. */
export const shown = (text: string): string =>
  text.length > 4_000 ? `${text.slice(0, 4_000)}… (${text.length} characters)` : text
