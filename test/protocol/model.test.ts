/**
 * The protocol's rules hold in random walks of the model, and none of them is idle: with any one
 * left out, two keepers write at once.
 *
 *   WALKS=5000000 bun test test/protocol     for a long search
 */
import { describe, expect, test } from "bun:test"
import { replay, search } from "./search.ts"
import { type Flaw, flaws } from "./world.ts"

const walks = Number(process.env["WALKS"] ?? 40_000)

test("L1 L3 L4 L7 W1 W2 O1 O2 O3 O5: with every rule there are never two writers", () => {
  expect(search(null, 1, walks)).toMatchObject({ trace: null })
}, 3_600_000)

const cut = ["A loses the store", "B loses the store"]
const fence = ["S0 revokes the primary", "S0 looks at the primary"]
const waits = ["time passes", "time passes"]
const asks = ["A asks for promises", "B promises"]
const has = "A has every promise"
const takesOver = ["S0 promotes C", "C begins to publish", "C has published", "C reads the view"]
const leavesOut = [
  "A begins to publish",
  "A has published",
  "S0 sees an info",
  "S0 leaves C out",
  "A reads the view",
]
const publishes = ["A begins to publish", "A has published", "S0 sees an info"]
const last = "time passes"
const allCut = [...cut, "C loses the store", ...fence]
const back = "C reaches the store again"

/**
 * The way to two writers, or where a search finds it: the first walk to try, and a model that has
 * changed is searched for long.
 */
const known: { readonly [F in Flaw]: number | readonly string[] } = {
  "the lease counts from the answer": 58_226,
  "the view is read before the publish": 7_204,
  "the last lease counts, not the longest": 11_365,
  "evidence is proof": 53,
  "any certificate counts": 2_322,
  "a certified epoch is renewed": 2_052,
  "the fence counts from an old look": 3_460,
  "a promise is forgotten at a restart": [
    ...[...allCut, ...waits, ...asks, "C promises", has, last, "C restarts", back],
    ...takesOver,
  ],
  "a promise does not hold the promotion up": [
    ...[...allCut, ...waits, ...asks, "C promises", has, last, back],
    ...takesOver,
  ],
  "a promise counts from its answer": [
    ...[...allCut, ...asks, "C promises", ...waits, has, last, back],
    ...takesOver,
  ],
  "one promise is enough": [...cut, ...fence, ...waits, ...asks, has, last, ...takesOver],
  "somebody outside the set is elected": [
    ...[...leavesOut, ...cut, ...fence, ...waits, ...asks, has, last],
    ...takesOver,
  ],
  "the set grows unacknowledged": [
    ...[...leavesOut, "S0 takes C in", ...cut, ...fence, ...waits, ...asks, has, last],
    ...takesOver,
  ],
  "the set just disappears": [
    ...[...leavesOut, "S0 drops the set", ...cut, ...fence, ...waits, ...asks, has, last],
    ...takesOver,
  ],
  "an ended set is asked": [
    ...[...leavesOut, ...publishes, "A reads the view", "S0 ends the set"],
    ...[...publishes, "A reads the view", ...publishes, "S0 drops the set"],
    ...["A gives its renewal up", ...cut, ...fence, ...waits, ...asks, has, last],
    ...takesOver,
  ],
}

const patience = 400_000

describe("two writers when", () => {
  for (const flaw of flaws)
    test(
      flaw,
      () => {
        const way = known[flaw]
        if (typeof way !== "number") {
          expect(replay(flaw, way)).toEqual(["A", "C"])
          expect(replay(null, way)).not.toEqual(["A", "C"])
          return
        }
        const near = search(flaw, way, 1)
        expect((near.trace === null ? search(flaw, 1, patience) : near).trace).not.toBeNull()
      },
      300_000,
    )
})
