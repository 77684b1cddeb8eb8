/**
 * Documents bent at random. A document is a tree that keeps what `JSON.parse` loses: the text of a
 * number, the order of keys, two spellings of one key. One to four bends a case, because a document
 * that is wrong everywhere is refused at the first wrong thing and tests nothing else.
 */
import type { Random } from "#base/random.ts"
import { type Json, isArray, isObject, parseJson, printJson } from "#model/json.ts"
import { pick } from "./fuzz.ts"

export type Tree =
  | { readonly kind: "leaf"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly Tree[] }
  | { readonly kind: "object"; readonly entries: readonly Entry[] }
type Entry = readonly [key: string, value: Tree]

const leaf = (text: string): Tree => ({ kind: "leaf", text })

export const treeOf = (text: string): Tree => fromJson(parseJson(text))

function fromJson(json: Json): Tree {
  if (isArray(json)) return { kind: "list", items: json.map(fromJson) }
  if (!isObject(json)) return leaf(printJson(json))
  return {
    kind: "object",
    entries: Object.entries(json).map(([key, value]) => [key, fromJson(value)]),
  }
}

export function print(tree: Tree): string {
  if (tree.kind === "leaf") return tree.text
  if (tree.kind === "list") return `[${tree.items.map(print).join(",")}]`
  return `{${tree.entries.map(([key, value]) => `${printJson(key)}:${print(value)}`).join(",")}}`
}

const numbers = [
  "0",
  "-0",
  "1",
  "-1",
  "2",
  "1.0",
  "1.5",
  "1e2",
  "1e400",
  "-1e-400",
  "65535",
  "65536",
  "4294967296",
  "9007199254740991",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775809",
  "18446744073709551615",
  "18446744073709551616",
  "1".repeat(400),
]
export const oddTexts = [
  "",
  " ",
  "0",
  "null",
  "true",
  "5s",
  "-5s",
  "1h1h",
  "1d",
  "0x10",
  "9999999h",
  "2562047h47m16.854775807s",
  "2562047h47m16.854775808s",
  "1µs",
  ".5s",
  "master",
  "standby",
  "undefined",
  "new",
  "pitr",
  "resync",
  "internal",
  "external",
  "normal",
  "none",
  "keeper0",
  "keeper1",
  "keeper9",
  "0001-01-01T00:00:00Z",
  "2026-02-30T25:61:61.999999999+23:59",
  "__proto__",
  "constructor",
  "a\u0000b",
  "a\nb",
  "'\"\\",
  "\ud800",
  "\u{1F600}é\u2028",
  "[::1]",
  "5432",
  "99999",
  "x".repeat(5_000),
]
const anything = [
  ...numbers,
  ...oddTexts.map((text) => printJson(text)),
  "null",
  "true",
  "false",
  "[]",
  "{}",
  "[null]",
  '[""]',
  '{"":null}',
  '{"a":{"a":{"a":[]}}}',
]

/** Levels of nesting from harmless to absurd. */
const nest = (random: Random, inner: string): string => {
  const depth = pick(random, [3, 50, 2_000, 60_000])
  return random.below(2) === 0
    ? `${"[".repeat(depth)}${inner}${"]".repeat(depth)}`
    : `${'{"a":'.repeat(depth)}${inner}${"}".repeat(depth)}`
}

/** Where something is, as the indexes on the way down. */
type Path = readonly number[]

function pathsOf(tree: Tree, here: Path = []): readonly Path[] {
  const below = childrenOf(tree).flatMap((child, i) => pathsOf(child, [...here, i]))
  return [here, ...below]
}
const childrenOf = (tree: Tree): readonly Tree[] =>
  tree.kind === "leaf"
    ? []
    : tree.kind === "list"
      ? tree.items
      : tree.entries.map(([, value]) => value)

const at = (tree: Tree, path: Path): Tree =>
  path.reduce((found, i) => childrenOf(found)[i] ?? leaf("null"), tree)

/** The tree with what is at `path` put through `change`. */
export function changed(tree: Tree, path: Path, change: (found: Tree) => Tree): Tree {
  const [first, ...rest] = path
  if (first === undefined) return change(tree)
  if (tree.kind === "list")
    return {
      ...tree,
      items: tree.items.map((item, i) => (i === first ? changed(item, rest, change) : item)),
    }
  if (tree.kind === "leaf") return tree
  return {
    ...tree,
    entries: tree.entries.map(([key, value], i) => [
      key,
      i === first ? changed(value, rest, change) : value,
    ]),
  }
}

/** Leaves and where they are. */
export const leaves = (tree: Tree): readonly { readonly path: Path; readonly text: string }[] =>
  pathsOf(tree).flatMap((path) => {
    const found = at(tree, path)
    return found.kind === "leaf" ? [{ path, text: found.text }] : []
  })

type Bend = (random: Random, tree: Tree) => Tree
const somewhere =
  (change: (random: Random, found: Tree) => Tree): Bend =>
  (random, tree) =>
    changed(tree, pick(random, pathsOf(tree)), (found) => change(random, found))
const inObject = (change: (random: Random, entries: readonly Entry[]) => readonly Entry[]): Bend =>
  somewhere((random, found) =>
    found.kind === "object" && found.entries.length > 0
      ? { ...found, entries: change(random, found.entries) }
      : leaf(pick(random, anything)),
  )

const otherCase = (random: Random, key: string): string =>
  key.replace(/./g, (c) => (random.below(2) === 0 ? c.toUpperCase() : c.toLowerCase()))

const bends: readonly Bend[] = [
  somewhere((random) => leaf(pick(random, anything))),
  somewhere((random) => leaf(pick(random, anything))),
  somewhere(() => leaf("null")),
  somewhere((random, found) => leaf(nest(random, print(found)))),
  inObject((random, entries) => entries.toSpliced(random.below(entries.length), 1)),
  // a key twice, spelled alike or not
  inObject((random, entries) => {
    const [key, value] = pick(random, entries)
    const name = random.below(2) === 0 ? key : otherCase(random, key)
    const again: Entry = [name, random.below(2) === 0 ? value : leaf(pick(random, anything))]
    return entries.toSpliced(random.below(entries.length + 1), 0, again)
  }),
  // a key under another name
  inObject((random, entries) => {
    const i = random.below(entries.length)
    return entries.map(([key, value], at): Entry => {
      if (at !== i) return [key, value]
      return [random.below(2) === 0 ? otherCase(random, key) : pick(random, oddTexts), value]
    })
  }),
  // a key that nobody knows
  inObject((random, entries) => [
    ...entries,
    [pick(random, oddTexts), leaf(pick(random, anything))],
  ]),
  // a list or an object many times its size
  somewhere((random, found) => {
    if (found.kind === "list")
      return { ...found, items: Array.from({ length: 2_000 }, () => found.items).flat() }
    if (found.kind === "leaf") return found
    const more = Array.from({ length: 500 }, (_, i): Entry => {
      const [key, value] = pick(random, found.entries.length > 0 ? found.entries : [["x", found]])
      return [`${key}${i}`, value]
    })
    return { ...found, entries: [...found.entries, ...more] }
  }),
  // what belongs somewhere else
  (random, tree) => {
    const from = at(tree, pick(random, pathsOf(tree)))
    return changed(tree, pick(random, pathsOf(tree)), () => from)
  },
]

const cuts: readonly ((random: Random, text: string) => string)[] = [
  (random, text) => text.slice(0, random.below(text.length + 1)),
  (random, text) => {
    const from = random.below(text.length + 1)
    return text.slice(0, from) + text.slice(from + random.below(20))
  },
  (random, text) => {
    const where = random.below(text.length + 1)
    const what = pick(random, [
      "}",
      "]",
      '"',
      ",",
      "\\",
      "\u0000",
      "\\u12",
      "{",
      "e",
      "-",
      "\ufeff",
    ])
    return text.slice(0, where) + what + text.slice(where)
  },
  (_, text) => text + text,
]

/** The text of `tree`, bent. One in eight is no JSON at all. */
export function bent(random: Random, tree: Tree): string {
  let result = tree
  for (let i = 1 + random.below(4); i > 0; i--) result = pick(random, bends)(random, result)
  const text = print(result)
  return random.below(8) === 0 ? pick(random, cuts)(random, text) : text
}

/** One leaf replaced by another of its kind, so that most results are still good documents. */
export function tweaked(random: Random, tree: Tree): string {
  const { path, text } = pick(random, leaves(tree))
  return print(changed(tree, path, () => leaf(like(random, text))))
}

/**
 * Not the empty one, which is left out; no half of a character, which nobody can keep; no duration
 * in another form than Go prints.
 */
const wellFormed = oddTexts.filter(
  (text) => text.isWellFormed() && !["", "0", ".5s", "1h1h"].includes(text),
)

function like(random: Random, text: string): string {
  if (text.startsWith('"')) return printJson(pick(random, wellFormed))
  if (/^-?\d/.test(text)) return pick(random, ["1", "2", "7", "65535", "9007199254740991"])
  return text === "true" || text === "false" ? "true" : text
}
