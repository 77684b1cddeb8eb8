/**
 * Where a client that has come is led: nowhere, to the one destination, or to one of several.
 *
 * Each choice is made by what is in force in that moment, also the second choice of a client whose
 * first did not answer: no list of destinations outlives the one that replaced it.
 */
import type { Destination } from "#port/relay.ts"

export interface Way {
  /** The next destination of a client for whom those of `tried` did not answer; null: none. */
  pick(tried: readonly Destination[]): Destination | null
  /** Nobody answered there. */
  failed(at: Destination): void
}

export const isSame = (a: Destination, b: Destination): boolean =>
  a.host === b.host && a.port === b.port

const among = (all: readonly Destination[], one: Destination): boolean =>
  all.some((each) => isSame(each, one))

export const nowhere: Way = { pick: () => null, failed: () => {} }

/** To one and no other. */
export const only = (to: Destination): Way => ({
  pick: (tried) => (tried.length === 0 ? to : null),
  failed: () => {},
})

/** How long one that did not answer comes after those that may. */
const avoidFor = 5_000

/** To one of several; what is known of who answers outlives a change of the groups. */
export interface Choice {
  /** By groups of equals, the best first, and in turns within a group. */
  readonly among: (groups: readonly (readonly Destination[])[]) => Way
}

/** `now` is a clock that only goes forward, in milliseconds. */
export function newChoice(now: () => number): Choice {
  /** With the time up to which they come last. */
  let avoided: { readonly at: Destination; readonly until: number }[] = []
  let turn = 0
  const mayAnswer = (one: Destination): boolean => !avoided.some(({ at }) => isSame(at, one))
  return {
    among: (groups) => ({
      pick(tried) {
        if (avoided.length > 0) avoided = avoided.filter(({ until }) => until > now())
        const left = groups.map((group) => group.filter((one) => !among(tried, one)))
        const good = left.map((group) => group.filter(mayAnswer))
        const group = [...good, ...left].find(({ length }) => length > 0)
        return group === undefined ? null : (group[turn++ % group.length] ?? null)
      },
      failed(at) {
        avoided = [...avoided.filter((one) => !isSame(one.at, at)), { at, until: now() + avoidFor }]
      },
    }),
  }
}
