/**
 * Commands with subcommands: which word of argv is the subcommand, when flags may stand before it.
 * The answer decides which table parses the rest, so the rules are cobra's in the go dialect (a
 * flag that the parent does not know swallows the next word).
 */
import { byText } from "#base/order.ts"
import { edits } from "#base/text.ts"
import type { Command, Dialect, Flags } from "./flag.ts"
import { names } from "./pflag.ts"

/** A node of a command tree: a leaf runs, a branch has children. */
export interface Node {
  readonly command: Command
  readonly children: readonly Node[]
}

export type Resolved =
  /** `argv` lacks the words of `path`. */
  | {
      readonly kind: "command"
      readonly node: Node
      readonly path: readonly string[]
      readonly argv: readonly string[]
    }
  | {
      readonly kind: "unknown"
      readonly node: Node
      readonly path: readonly string[]
      readonly word: string
    }

/** Walks down from `root` along the words of argv that name subcommands. */
export function resolve(root: Node, argv: readonly string[], dialect: Dialect): Resolved {
  let node = root
  let rest = argv
  const path: string[] = []
  for (;;) {
    const children = childrenIn(node, dialect)
    if (children.length === 0) return { kind: "command", node, path, argv: rest }
    const at = subcommandIndex(node, rest, dialect)
    const word = at < 0 ? undefined : rest[at]
    const child = children.find(({ command }) => command.name === word)
    if (child !== undefined) {
      node = child
      path.push(child.command.name)
      rest = rest.toSpliced(at, 1)
      continue
    }
    // cobra refuses unknown words at the root only; deeper it prints help
    const refuse = word !== undefined && (dialect === "stolon" || path.length === 0)
    return refuse
      ? { kind: "unknown", node, path, word }
      : { kind: "command", node, path, argv: rest }
  }
}

export const childrenIn = (node: Node, dialect: Dialect): readonly Node[] =>
  node.children.filter(({ command }) => dialect === "stolon" || command.extension === undefined)

/** Where the first word stands that is neither a flag nor a flag's value; -1: there is none. */
function subcommandIndex(node: Node, argv: readonly string[], dialect: Dialect): number {
  const flags = dialect === "go" ? node.command.flags : everyFlag(node)
  const { long, short } = names(flags)
  const takesValue = (word: string): boolean => {
    if (word.includes("=")) return false
    const isLong = word.startsWith("--")
    if (!isLong && word.length !== 2) return false
    const name = isLong ? word.slice(2) : short.get(word.slice(1))
    const row = name === undefined ? undefined : long.get(name)
    // a flag nobody knows: cobra takes the next word for its value, we rather find the subcommand
    // and then name the flag
    if (row === undefined) return dialect === "go"
    return row.type !== "bool"
  }
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ""
    if (word === "--") return -1
    if (!word.startsWith("-")) {
      if (word !== "") return i
    } else if (takesValue(word)) {
      if (dialect === "go" && i + 2 >= argv.length) return -1
      i++
    }
  }
  return -1
}

/** Flags of the whole subtree: `-f json status` reads well enough. */
function everyFlag(node: Node): Flags {
  let flags: Flags = node.command.flags
  for (const child of node.children) flags = { ...everyFlag(child), ...flags }
  return flags
}

/** Cobra's rule: at most two edits, or the beginning of the name, whatever the case. */
const goSuggestions = (word: string, candidates: readonly string[]): readonly string[] =>
  candidates.filter((name) => {
    const [typed, known] = [word.toLowerCase(), name.toLowerCase()]
    return edits(typed, known, false) <= 2 || known.startsWith(typed)
  })

/** Cobra's answer to an unknown command of its root. */
export function goUnknown(program: string, word: string, children: readonly Node[]): string {
  const candidates = children.map(({ command }) => command.name)
  const near = goSuggestions(word, candidates).toSorted(byText)
  const block =
    near.length === 0 ? "" : `\n\nDid you mean this?\n${near.map((name) => `\t${name}\n`).join("")}`
  return `unknown command "${word}" for "${program}"${block}`
}
