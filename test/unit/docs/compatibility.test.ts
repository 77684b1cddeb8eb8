/**
 * docs/compatibility.md lists what Go stolon does, and for each row the test that shows that ours
 * does it too. A row without a test, or with one that does not exist any more, fails here.
 */
import { expect, test } from "bun:test"
import { rowsOf, testNames } from "./pages.ts"

const rows = rowsOf("docs/compatibility.md", /./).filter(
  ([first = ""]) => first !== "Feature" && !/^-+$/.test(first),
)

test("the table has no empty cell", () => {
  expect(rows.length).toBeGreaterThan(100)
  expect(rows.filter((row) => row.length !== 3 || row.includes(""))).toEqual([])
})

// a cell names tests as `file`: words of the test's name; further ones follow after <br>
for (const [feature = "", , shown = ""] of rows)
  for (const claim of shown.split("<br>"))
    test(`${feature} is shown by ${claim.trim()}`, async () => {
      const [, file = "", words = ""] = /^`([^`]+)`: (.+)$/.exec(claim.trim()) ?? []
      expect(file).not.toBe("")
      const names = await testNames(`test/${file}`)
      expect({ file, words, shown: names.some((name) => name.includes(words)) }).toEqual({
        file,
        words,
        shown: true,
      })
    })
