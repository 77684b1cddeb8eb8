/** Timelines are told apart by the DB that began them (W9); what nobody knows is not judged. */
import { describe, expect, test } from "bun:test"
import { dbUID } from "#model/ids.ts"
import {
  formatLineage,
  isStranger,
  lineageOfHead,
  parseLineage,
  readLineage,
} from "#model/lineage.ts"

const [a, b, c] = [dbUID("a"), dbUID("b"), dbUID("c")]

describe("parseLineage()", () => {
  test("reads what formatLineage() wrote", () => {
    const births = [
      { timeline: 2, db: a },
      { timeline: 3, db: null },
    ]
    expect(formatLineage(births)).toBe("2:a 3:?")
    expect(parseLineage(formatLineage(births, b))).toEqual({ births, from: b })
    expect(parseLineage(formatLineage(births, null))).toEqual({ births, from: null })
    expect(parseLineage("")).toEqual({ births: [], from: null })
  })
  test("knows nothing of a text that is something else", () => {
    for (const text of ["2:a:b", "0:a", "x:a", "2:"]) expect(parseLineage(text)).toBeNull()
    expect(readLineage("2:a 3:")).toEqual([])
  })
})

test("formatLineage() keeps the newest timelines, and takes odd names for unknown ones", () => {
  const many = Array.from({ length: 40 }, (_, i) => ({ timeline: i + 2, db: a }))
  expect(readLineage(formatLineage(many))).toEqual(many.slice(-16))
  expect(formatLineage([{ timeline: 2, db: dbUID("a b:c") }], dbUID(""))).toBe("2:? ?")
})

describe("isStranger()", () => {
  const is = (own: string, theirs: string): boolean =>
    isStranger(readLineage(own), c, readLineage(theirs))
  test("tells two timelines of one number apart, the present one or an older", () => {
    expect(is("2:a", "2:c")).toBeTrue()
    expect(is("2:a", "2:b 3:c")).toBeTrue()
    expect(is("2:a 3:b", "2:a 3:b 4:c")).toBeFalse()
    expect(is("2:a", "2:a 3:c")).toBeFalse()
  })
  test("judges nothing that is not known on both sides, nor what came from the primary itself", () => {
    expect(is("2:?", "2:c")).toBeFalse()
    expect(is("2:a", "2:? 3:c")).toBeFalse()
    expect(is("2:a", "3:c")).toBeFalse()
    expect(is("", "2:c")).toBeFalse()
    expect(is("2:c", "2:b 3:c")).toBeFalse()
  })
})

test("lineageOfHead() takes the timeline of a Go primary for its own once it serves", () => {
  const head = { uid: a, master: true, settled: true, timelineID: 3, lineage: "" }
  expect(lineageOfHead(head)).toEqual([{ timeline: 3, db: a }])
  expect(lineageOfHead({ ...head, settled: false })).toEqual([])
  expect(lineageOfHead({ ...head, master: false })).toEqual([])
  expect(lineageOfHead({ ...head, timelineID: 1 })).toEqual([])
  expect(lineageOfHead({ ...head, lineage: "3:b" })).toEqual([{ timeline: 3, db: b }])
})
