/**
 * A scanner for JSON texts that knows where it is: what a person typed is refused with the place
 * and with what was expected there, and a Go name refuses it with the words of Go's decoder
 * (`go-error.ts`). It also keeps the raw text of every value, which `JSON.parse` does not: Go reads
 * durations and numbers from it.
 *
 * Used where a text was refused and in the go dialect only; values come from `json.ts`. It must
 * accept exactly what Go's scanner accepts.
 */

/** A value and where it stands in the text. */
export type Scanned =
  | { readonly kind: "null" | "bool" | "number"; readonly raw: string; readonly end: number }
  | { readonly kind: "string"; readonly raw: string; readonly end: number }
  | {
      readonly kind: "array"
      readonly raw: string
      readonly end: number
      readonly items: readonly Scanned[]
    }
  | {
      readonly kind: "object"
      readonly raw: string
      readonly end: number
      readonly members: readonly { readonly key: string; readonly value: Scanned }[]
    }

/** Where a text stops being JSON. */
export interface Trouble {
  /** What stands there; null: the text ends. */
  readonly found: string | null
  readonly offset: number
  /** In Go's words: `looking for beginning of value`. */
  readonly where: string
}

class Stop extends Error {
  constructor(trouble: Trouble) {
    super(trouble.where)
    this.trouble = trouble
  }
  readonly trouble: Trouble
}

/** Go's scanner gives up at the same depth. */
const depthMax = 10_000
export const tooDeep = "exceeded max depth"

/** The value that the text is, or the first place where it is none. */
export function scanJson(text: string): Scanned | Trouble {
  const first = scanFirst(text)
  if ("where" in first) return first
  const rest = blanks(text, first.end)
  return rest === text.length ? first : troubleAt(text, rest, "after top-level value")
}

/** The first value of the text, whatever follows it. */
export function scanFirst(text: string): Scanned | Trouble {
  try {
    return value(text, blanks(text, 0), 0)
  } catch (error) {
    if (error instanceof Stop) return error.trouble
    throw error
  }
}

const troubleAt = (text: string, offset: number, where: string): Trouble => {
  const code = text.codePointAt(offset)
  return { found: code === undefined ? null : String.fromCodePoint(code), offset, where }
}
const stop = (text: string, offset: number, where: string): never => {
  throw new Stop(troubleAt(text, offset, where))
}

function blanks(text: string, from: number): number {
  let at = from
  while (at < text.length && " \t\r\n".includes(text[at] ?? "")) at++
  return at
}

function value(text: string, at: number, depth: number): Scanned {
  const c = text[at]
  if (c === "{" || c === "[") {
    if (depth >= depthMax) stop(text, at, tooDeep)
    return c === "{" ? object(text, at, depth + 1) : array(text, at, depth + 1)
  }
  if (c === '"') {
    const end = string(text, at)
    return { kind: "string", raw: text.slice(at, end), end }
  }
  if (c === "-" || isDigit(c)) {
    const end = number(text, at)
    return { kind: "number", raw: text.slice(at, end), end }
  }
  for (const word of ["true", "false", "null"]) {
    if (c !== word[0]) continue
    const end = literal(text, at, word)
    return { kind: word === "null" ? "null" : "bool", raw: word, end }
  }
  return stop(text, at, "looking for beginning of value")
}

const isDigit = (c: string | undefined): boolean => c !== undefined && c >= "0" && c <= "9"

function literal(text: string, at: number, word: string): number {
  for (let i = 1; i < word.length; i++)
    if (text[at + i] !== word[i])
      stop(text, at + i, `in literal ${word} (expecting '${word[i] ?? ""}')`)
  return at + word.length
}

function string(text: string, from: number): number {
  let at = from + 1
  for (;;) {
    const c = text[at]
    if (c === '"') return at + 1
    if (c === undefined || c < " ") return stop(text, at, "in string literal")
    at = c === "\\" ? escape(text, at + 1) : at + 1
  }
}

function escape(text: string, at: number): number {
  const c = text[at]
  if (c !== undefined && '"\\/bfnrt'.includes(c)) return at + 1
  if (c !== "u") return stop(text, at, "in string escape code")
  for (let i = 1; i <= 4; i++)
    if (!/^[0-9a-fA-F]$/.test(text[at + i] ?? ""))
      stop(text, at + i, "in \\u hexadecimal character escape")
  return at + 5
}

function number(text: string, from: number): number {
  const digits = (at: number, where: string): number => {
    if (!isDigit(text[at])) stop(text, at, where)
    let end = at
    while (isDigit(text[end])) end++
    return end
  }
  let at = text[from] === "-" ? from + 1 : from
  at = text[at] === "0" ? at + 1 : digits(at, "in numeric literal")
  if (text[at] === ".") at = digits(at + 1, "after decimal point in numeric literal")
  if (text[at] !== "e" && text[at] !== "E") return at
  at += text[at + 1] === "+" || text[at + 1] === "-" ? 2 : 1
  return digits(at, "in exponent of numeric literal")
}

function array(text: string, from: number, depth: number): Scanned {
  const items: Scanned[] = []
  let at = blanks(text, from + 1)
  while (items.length > 0 || text[at] !== "]") {
    const item = value(text, at, depth)
    items.push(item)
    at = blanks(text, item.end)
    if (text[at] === "]") break
    if (text[at] !== ",") stop(text, at, "after array element")
    at = blanks(text, at + 1)
  }
  return { kind: "array", raw: text.slice(from, at + 1), end: at + 1, items }
}

function object(text: string, from: number, depth: number): Scanned {
  const members: { readonly key: string; readonly value: Scanned }[] = []
  let at = blanks(text, from + 1)
  while (members.length > 0 || text[at] !== "}") {
    if (text[at] !== '"') stop(text, at, "looking for beginning of object key string")
    const end = string(text, at)
    const key = String(JSON.parse(text.slice(at, end)))
    at = blanks(text, end)
    if (text[at] !== ":") stop(text, at, "after object key")
    const member = value(text, blanks(text, at + 1), depth)
    members.push({ key, value: member })
    at = blanks(text, member.end)
    if (text[at] === "}") break
    if (text[at] !== ",") stop(text, at, "after object key:value pair")
    at = blanks(text, at + 1)
  }
  return { kind: "object", raw: text.slice(from, at + 1), end: at + 1, members }
}

/** For a person: what stands where, and what was expected there. */
export function describeTrouble(text: string, trouble: Trouble): string {
  if (text.trim() === "") return "the text is empty; expected a JSON object"
  const before = text.slice(0, trouble.offset)
  const line = before.split("\n").length
  const column = before.length - before.lastIndexOf("\n")
  const place = `line ${line}, column ${column}`
  return trouble.found === null
    ? `it ends too early, at ${place}${expected(trouble.where)}`
    : `unexpected ${JSON.stringify(trouble.found)} at ${place}${expected(trouble.where)}`
}

const expected = (where: string): string => {
  const text = hints[where]
  return text === undefined ? ` (${where})` : `; ${text}`
}
const hints: Readonly<Record<string, string>> = {
  "looking for beginning of value": 'expected a value, such as "text", 5 or true',
  "looking for beginning of object key string": "expected a key in double quotes",
  "after object key": "expected a colon after the key",
  "after object key:value pair": "expected a comma or }",
  "after array element": "expected a comma or ]",
  "after top-level value": "expected nothing more after the value",
  "in string literal": 'expected the closing "',
}
