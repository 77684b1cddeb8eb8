/**
 * docs/stolon-differences.md speaks of every known defect of Go stolon, and what it calls fixed is
 * shown by a test: one whose name begins with the defect's number, in a file that the row names.
 * The page can so neither forget a defect nor promise what nobody checks.
 */
import { expect, test } from "bun:test"
import { rowsOf, testNames } from "./pages.ts"

const rows = rowsOf("docs/stolon-differences.md", /^D-\d\d$/)
const last = 90

test("every defect has exactly one row", () => {
  const wanted = Array.from({ length: last }, (_, i) => `D-${String(i + 1).padStart(2, "0")}`)
  expect(rows.map(([number]) => number ?? "").toSorted()).toEqual(wanted)
})

test("every row says what is so in Go stolon, and what became of it", () => {
  const silent = rows.filter(
    ([, before = "", , state = ""]) =>
      before === "" || !/^(?:fixed|(?:later|kept): .+)$/.test(state),
  )
  expect(silent).toEqual([])
})

for (const [number = "", , here, state, files = ""] of rows)
  if (state === "fixed")
    test(`${number} is fixed, and the tests that the page names show it`, async () => {
      expect(here).not.toBe("")
      const named = [...files.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "")
      expect(named).not.toEqual([])
      for (const file of named) {
        const names = await testNames(`test/${file}`)
        expect({ file, shows: names.some((name) => name.startsWith(`${number} `)) }).toEqual({
          file,
          shows: true,
        })
      }
    })
