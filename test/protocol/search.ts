/**
 * Walks at random through everything that the rules allow, and stops at the first moment at which
 * two keepers could acknowledge. The same seed walks the same way.
 */
import { type Random, generator } from "#base/random.ts"
import { type Action, type Flaw, actions, firstWorld, nameOf, writers } from "./world.ts"

export interface Outcome {
  /** The last one. */
  readonly walk: number
  readonly steps: number
  /** The way to two writers; null: there was none. */
  readonly trace: readonly string[] | null
}

/** Long enough for two reigns and a store outage. */
const length = 120
const faults = 5

/**
 * A walk on which some things happen often and others hardly ever finds more than an even one: of
 * four walks two love and hate by what is done, two by who does it, too.
 */
const tastes = [
  { weights: [0.02, 1, 1, 4], personal: true },
  { weights: [0.05, 1, 1, 4], personal: false },
  { weights: [0.01, 0.1, 1, 8], personal: false },
  { weights: [0.01, 1, 1, 10], personal: true },
] as const

export function search(flaw: Flaw | null, from: number, walks: number): Outcome {
  let steps = 0
  for (let walk = from; walk < from + walks; walk++) {
    const random = generator(walk)
    const world = firstWorld(faults, walk % 2 === 0, (walk >> 3) % 2 === 1)
    const trace: string[] = []
    const { weights, personal } = tastes[(walk >> 1) % 4] ?? tastes[0]
    const likes = new Map<string, number>()
    const weightOf = ({ who, what }: Action): number => {
      const taste = personal ? who + what : what
      const known = likes.get(taste) ?? weights[random.below(weights.length)] ?? 1
      likes.set(taste, known)
      return known
    }
    for (let step = 0; step < length; step++) {
      const action = pick(actions(world, flaw), weightOf, random)
      action.run()
      steps++
      trace.push(`t=${world.now} ${action.who} ${action.what}`)
      const both = writers(world)
      if (both.length > 1) {
        trace.push(`${both.map(nameOf).join(" and ")} write`)
        return { walk, steps, trace }
      }
    }
  }
  return { walk: from + walks, steps, trace: null }
}

function pick(all: readonly Action[], weightOf: (a: Action) => number, random: Random): Action {
  const weighed = all.map(weightOf)
  let left = random.next() * weighed.reduce((sum, weight) => sum + weight, 0)
  const found = weighed.findIndex((weight) => (left -= weight) < 0)
  const action = all[Math.max(0, found)]
  if (action === undefined) throw new Error("time can always pass")
  return action
}

/** Does one thing after the other, as named. Who writes at once; or what was not possible. */
export function replay(flaw: Flaw | null, story: readonly string[]): readonly string[] {
  const world = firstWorld(faults, false, true)
  for (const line of story) {
    const action = actions(world, flaw).find(({ who, what }) => `${who} ${what}`.trim() === line)
    if (action === undefined) return [`t=${world.now} ${line}: not possible`]
    action.run()
    const both = writers(world)
    if (both.length > 1) return both.map(nameOf)
  }
  return []
}
