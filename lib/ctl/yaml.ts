/**
 * Plain values as YAML that every reader understands alike: block style, two blanks, and quotes
 * around whatever YAML 1.1 or 1.2 would take for something other than the text it is (`on`, `1e3`,
 * `12:30`, a date). Keys keep the order in which they were written down, so the same input gives
 * the same bytes.
 *
 * Text out only; it never reads YAML and knows no anchors, tags or styles.
 */
export type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml }

/** One document, with the lines of a comment above it. */
export interface Document {
  readonly about: readonly string[]
  readonly value: Yaml
}

/** A stream of documents. */
export const documents = (all: readonly Document[]): string =>
  all.map(({ about, value }) => `${comment(about)}${yaml(value)}`).join("---\n")

export const comment = (lines: readonly string[]): string =>
  lines.map((line) => (line === "" ? "#\n" : `# ${line}\n`)).join("")

/** One value, ending with a newline. */
export const yaml = (value: Yaml): string => `${block(value, 0).join("\n")}\n`

function block(value: Yaml, depth: number): readonly string[] {
  const pad = "  ".repeat(depth)
  if (isList(value)) {
    const flow = inOneLine(value)
    if (flow !== null) return [`${pad}${flow}`]
    return value.flatMap((item) => {
      const [first = "", ...rest] = block(item, depth + 1)
      return [`${pad}- ${first.slice(pad.length + 2)}`, ...rest]
    })
  }
  if (typeof value !== "object") return [`${pad}${scalar(value)}`]
  const entries = Object.entries(value)
  if (entries.length === 0) return [`${pad}{}`]
  return entries.flatMap(([key, inner]) =>
    isNested(inner)
      ? [`${pad}${scalar(key)}:`, ...block(inner, depth + 1)]
      : [`${pad}${scalar(key)}: ${block(inner, 0).join("")}`],
  )
}

/** A short list of words: `[get, list, watch]`. */
function inOneLine(items: readonly Yaml[]): string | null {
  if (items.some((item) => typeof item === "object")) return null
  const text = `[${items.map((item) => (typeof item === "object" ? "" : scalar(item))).join(", ")}]`
  return text.length <= flowMost ? text : null
}
const flowMost = 60

const isList = (value: Yaml): value is readonly Yaml[] => Array.isArray(value)
const isNested = (value: Yaml): boolean =>
  typeof value === "object" &&
  (isList(value) ? inOneLine(value) === null : Object.keys(value).length > 0)

function scalar(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value)
  return plain.test(value) && !taken.test(value) ? value : JSON.stringify(value)
}
/** Nothing in it that means something at any place of a document. */
const plain = /^[A-Za-z/$._][A-Za-z0-9/$._()+=@-]*$/
/** Words that some version takes for a truth value, for nothing, or for a number. */
const taken = /^(?:y|n|yes|no|on|off|true|false|null|nan|\.nan|\.inf|\.[\d_]+.*|---|\.\.\.)$/i
