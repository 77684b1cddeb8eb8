/** Equality of steps decides whether hours of copying are thrown away. */
import { expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { millis } from "#base/brand.ts"
import { sameStep } from "#keeper/same.ts"
import { dbUID, generation } from "#model/ids.ts"
import type { Step } from "#model/step.ts"

const clone = (host: string): Step => ({
  kind: "clone",
  from: { db: dbUID("db1"), host, port: "5432" },
  slot: "stolon_db2",
})
const save = (entries: readonly (readonly [string, string])[] | null): Step => ({
  kind: "save-db",
  state: {
    uid: dbUID("db1"),
    generation: generation(1),
    initializing: false,
    initPGParameters: entries === null ? null : new Map(entries),
  },
})

test("sameStep() compares by value, whatever is inside", () => {
  expect(sameStep(clone("a"), clone("a"))).toBeTrue()
  expect(sameStep(clone("a"), clone("b"))).toBeFalse()
  expect(sameStep(undefined, clone("a"))).toBeFalse()
  expect(
    sameStep(
      save([
        ["x", "1"],
        ["y", "2"],
      ]),
      save([
        ["y", "2"],
        ["x", "1"],
      ]),
    ),
  ).toBeTrue()
  expect(sameStep(save([["x", "1"]]), save([["x", "2"]]))).toBeFalse()
  expect(sameStep(save([["x", "1"]]), save([["y", "1"]]))).toBeFalse()
  expect(sameStep(save([]), save(null))).toBeFalse()
  const wal = (n: bigint): Step => ({ kind: "save-divergent-wal", since: lsn(n) })
  expect(sameStep(wal(5n), wal(5n))).toBeTrue()
  expect(sameStep(wal(5n), wal(6n))).toBeFalse()
  const names = (...list: string[]): Step => ({
    kind: "remove-asides",
    names: list,
    reason: "the fresh copy has proved itself",
  })
  expect(sameStep(names("a", "b"), names("a", "b"))).toBeTrue()
  expect(sameStep(names("a", "b"), names("b", "a"))).toBeFalse()
  expect(
    sameStep(
      { kind: "wait-ready", timeout: millis(1) },
      { kind: "wait-ready", timeout: millis(2) },
    ),
  ).toBeFalse()
})
