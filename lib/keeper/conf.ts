/**
 * postgresql.conf as text: one line a parameter, every value quoted so that PostgreSQL's parser
 * gives back exactly what went in (D-47). Sorted, so that equal settings are equal text.
 */
import { byText } from "#base/order.ts"

/** Parameters by name. Names differ at most in case from what PostgreSQL calls them. */
export type Parameters = ReadonlyMap<string, string>

export const formatConf = (parameters: Parameters): string =>
  [...parameters]
    .toSorted(([a], [b]) => byText(a, b))
    .map(([name, value]) => `${name} = ${quote(value)}\n`)
    .join("")

const escapes: Readonly<Record<string, string>> = {
  "'": "''",
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
}
const quote = (value: string): string =>
  `'${value.replace(/['\\\n\r\t\b\f]/g, (c) => escapes[c] ?? c)}'`

const line = /^\s*([^\s=#']+)\s*=?\s*(?:'((?:[^'\\\n]|\\.|'')*)'|([^\s#']+))\s*(?:#.*)?$/

/**
 * Reads a file back the way PostgreSQL does, as far as generated files go (Go's too). Lines that
 * are something else are skipped: the result serves comparisons, never decisions about what a
 * stranger's file means.
 */
export function parseConf(text: string): Parameters {
  const known = read.get(text)
  if (known !== undefined) return known
  const result = new Map<string, string>()
  for (const raw of text.split("\n")) {
    const match = line.exec(raw)
    const name = match?.[1]
    if (match === null || name === undefined || name.startsWith("include")) continue
    result.set(name.toLowerCase(), match[2] === undefined ? (match[3] ?? "") : unquote(match[2]))
  }
  if (read.size >= readMax) read.clear()
  read.set(text, result)
  return result
}
/** Every plan reads the same few texts again. */
const read = new Map<string, Parameters>()
const readMax = 32

const unescapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", f: "\f" }
const unquote = (text: string): string =>
  text.replace(/''|\\([0-7]{1,3}|.)/g, (_, c: string | undefined) => {
    if (c === undefined) return "'"
    return /^[0-7]/.test(c) ? String.fromCharCode(Number.parseInt(c, 8)) : (unescapes[c] ?? c)
  })
