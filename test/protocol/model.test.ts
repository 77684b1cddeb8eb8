/**
 * The protocol's rules hold in random walks of the model, and none of them is idle: with any one
 * left out, two keepers write at once.
 *
 *   WALKS=5000000 bun test test/protocol     for a long search
 */
import { describe, expect, test } from "bun:test"
import { search } from "./search.ts"
import { flaws } from "./world.ts"

const walks = Number(process.env["WALKS"] ?? 40_000)

test("L1 L3 L4 W1 W2 O1 O2 O3: with every rule there are never two writers", () => {
  expect(search(null, 1, walks)).toMatchObject({ walks, trace: null })
}, 600_000)

describe("two writers when", () => {
  for (const flaw of flaws)
    test(
      flaw,
      () => {
        expect(search(flaw, 1, 400_000).trace).not.toBeNull()
      },
      120_000,
    )
})
