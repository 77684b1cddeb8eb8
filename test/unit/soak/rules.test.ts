/**
 * The soak finds what it looks for: an answer of who is the primary no more, a descriptor that is
 * left, memory that grows, a byte of somebody else.
 */
import { expect, test } from "bun:test"
import { generator } from "#base/random.ts"
import { growth, leftBehind, replaced } from "#test/soak/leaks.ts"
import { difference, tagged } from "#test/soak/text.ts"
import { sequence } from "#test/soak/strikes.ts"
import { type Answer, type Place, newWitness, placeOf } from "#test/soak/witness.ts"

const primary = (port: number, timeline: number): Place => ({
  ...{ port, timeline, system: "7", recovery: false },
})
const standby = (port: number): Place => ({ port, system: "7", recovery: true, timeline: 0 })
const answer = (place: Place, sent: number, more: Partial<Answer> = {}): Answer => ({
  ...{ door: "primary", sent, received: sent + 1, place, before: null },
  ...more,
})

test("placeOf() reads what soak_place() writes, and nothing else", () => {
  expect(placeOf("5432|7|f|3")).toEqual(primary(5432, 3))
  expect(placeOf("5432|7|t|0")).toEqual(standby(5432))
  for (const text of ["5432|7|f", "s1.q2.p0", ""]) expect(placeOf(text)).toBe(null)
})

test("judge() has nothing against a primary, its successor, and answers that were under way", () => {
  const { judge } = newWitness()
  const all = [answer(primary(1, 1), 10), answer(primary(2, 2), 20), answer(primary(1, 1), 15)]
  expect(all.map(judge)).toEqual([null, null, null])
})

test("judge() finds an older timeline that answers a question sent after a later one was heard", () => {
  const { judge } = newWitness()
  judge(answer(primary(2, 2), 20))
  expect(judge(answer(primary(1, 1), 22))).toContain("timeline 1 answered after timeline 2")
  expect(judge(answer(primary(1, 1), 22, { door: "reads" }))).toContain("timeline 1 answered")
})

test("judge() finds a primary that answers after it was relieved, until anything may be again", () => {
  const { judge, deposed, pardon } = newWitness()
  judge(answer(primary(1, 1), 10))
  deposed(1, 30)
  expect(judge(answer(primary(1, 1), 29))).toBe(null)
  expect(judge(answer(primary(1, 1), 31))).toContain("1 answered after it had been relieved")
  pardon()
  expect(judge(answer(primary(1, 3), 40))).toBe(null)
})

test("judge() finds two servers on a timeline, another system, and a session that moved", () => {
  const { judge } = newWitness()
  judge(answer(primary(1, 1), 10))
  expect(judge(answer(primary(2, 1), 11))).toContain("two servers on timeline 1")
  expect(judge(answer({ ...primary(1, 1), system: "8" }, 12))).toContain("system 8 instead of 7")
  expect(judge(answer(primary(1, 1), 13, { before: primary(3, 1) }))).toContain(
    "changed its server",
  )
})

test("judge() finds a standby where the primary should be, and none of the kind for reads", () => {
  const { judge } = newWitness()
  expect(judge(answer(standby(2), 10))).toContain("in recovery answered where the primary does")
  expect(judge(answer(standby(2), 10, { door: "reads" }))).toBe(null)
})

test("judge() finds a session for reads on a promoted standby once all is calm", () => {
  const { judge, calm } = newWitness()
  const stayed = { door: "reads", before: standby(2) } as const
  expect(judge(answer(primary(2, 2), 10, stayed))).toBe(null)
  calm(20)
  expect(judge(answer(primary(2, 2), 19, stayed))).toBe(null)
  expect(judge(answer(primary(2, 2), 21, stayed))).toContain("stayed with a standby")
})

test("leftBehind() names a descriptor too many and a process that is missing", () => {
  const before = { pids: [1, 2], descriptors: [20, 15] }
  expect(leftBehind(before, { pids: [1, 2], descriptors: [19, 15] })).toBe(null)
  expect(leftBehind(before, { pids: [1, 2], descriptors: [20, 16] })).toBe(
    "20 + 16 descriptors instead of 20 + 15",
  )
  expect(leftBehind(before, { pids: [1], descriptors: [20] })).toBe("1 processes instead of 2")
})

test("replaced() counts the processes that took another one's place", () => {
  const before = { pids: [1, 2, 3], descriptors: [20, 15, 15] }
  expect(replaced(before, before)).toBe(0)
  expect(replaced(before, { ...before, pids: [1, 3, 9] })).toBe(1)
})

test("growth() compares the ends and forgives a peak in between", () => {
  const calm = Array.from({ length: 90 }, (_, i) => (i === 45 ? 900 : 100 + (i % 3)))
  expect(growth(calm)).toEqual({ first: 101, last: 101, grown: false })
  const creeping = Array.from({ length: 90 }, (_, i) => 100 + i)
  expect(growth(creeping)).toEqual({ first: 115, last: 175, grown: true })
  expect(growth(creeping.map((_, i) => 100 + i / 2)).grown).toBe(false)
})

test("tagged() says the same for the same numbers and shares no piece with another session", () => {
  const text = tagged(12, 3, 5_000)
  expect(tagged(12, 3, 5_000)).toBe(text)
  expect(text.length).toBeGreaterThanOrEqual(5_000)
  const pieces = (of: string): ReadonlySet<string> => new Set(of.split(" ").slice(0, -1))
  expect(pieces(text).isDisjointFrom(pieces(tagged(13, 3, 5_000)))).toBe(true)
  expect(pieces(text).isDisjointFrom(pieces(tagged(12, 4, 5_000)))).toBe(true)
})

test("difference() says from where on a text is not what was asked for", () => {
  expect(difference("same", "same")).toBe(null)
  expect(difference("abcdef", "abcxef")).toContain("different from character 3 on")
  expect(difference("abc", "abcd")).toContain("4 characters instead of 3")
})

test("sequence() switches over every other time and leaves no other strike out", () => {
  const drawn = sequence(generator(1))
  const names = Array.from({ length: 6 }, () => drawn.next().value)
  expect(names.filter((_, i) => i % 2 === 0)).toEqual(["switchover", "switchover", "switchover"])
  expect(new Set(names).size).toBe(4)
})
