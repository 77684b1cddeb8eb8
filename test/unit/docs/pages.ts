/**
 * Reads what our pages promise: tables of Markdown, and the names of tests as they stand in the
 * sources. No rendering; a table is rows of cells.
 */
import { readFileSync } from "node:fs"

const root = new URL("../../../", import.meta.url).pathname

/** The rows of a page's tables whose first cell matches, in their order. */
export function rowsOf(page: string, first: RegExp): (readonly string[])[] {
  return readFileSync(root + page, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => cells(line))
    .filter(([cell = ""]) => first.test(cell))
}

const cells = (line: string): string[] =>
  line
    .replaceAll("\\|", "\u0000")
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.replaceAll("\u0000", "|").trim())

/**
 * What tests are called in a file of tests, as spelt there: `test(…)`, the `scenario`, `story` and
 * `check` of our own harnesses, and names behind a table or a condition, `test.each(…)("…")`.
 */
export async function testNames(file: string): Promise<string[]> {
  const source = await Bun.file(root + file).text()
  return [plain, behind].flatMap((pattern) =>
    [...source.matchAll(pattern)].map(({ groups }) => groups?.["name"] ?? ""),
  )
}
const name = String.raw`\(\s*(?<quote>["'\`])(?<name>(?:(?!\k<quote>)[^\\]|\\.)*)\k<quote>`
const plain = new RegExp(
  String.raw`\b(?:test|it|story|scenario|check)(?:\.concurrent)?${name}`,
  "gs",
)
/** The first call of a call's result, with no other test in between. */
const behind = new RegExp(
  String.raw`\btest\.(?:each|skipIf|if)\((?:(?!\btest[.(])[\s\S])*?\)${name}`,
  "gs",
)
