/**
 * Help of the stolon dialect, rendered from the tables: what the command does, how to call it, its
 * flags by group with defaults and environment variables, and examples to copy. The go dialect's
 * usage is `cobra.ts`.
 *
 * Text in, text out. A secret's value never gets here: help knows rows, not values.
 */
import { type Command, type Row, rowsIn } from "./flag.ts"
import { envNames } from "./parse.ts"
import { suggest } from "./suggest.ts"

const width = 100

/** The parts of a command's help that a list of subcommands needs. */
export interface Entry {
  readonly name: string
  readonly summary: string
}

/** Help of one command. `program` is what the user typed to get here, such as `stolon ctl init`. */
export function help(command: Command, program: string, children: readonly Entry[] = []): string {
  const own = rowsIn(command.flags, "stolon").filter(([, row]) => row.deprecated === undefined)
  const flags = own.length === 0 ? "" : " [flags]"
  const rest = children.length > 0 ? " COMMAND" : ""
  const positionals = command.positionals.usage === "" ? "" : ` ${command.positionals.usage}`
  const parts = [
    `${program}: ${command.summary}`,
    ...(command.about.length === 0 ? [] : [wrap(command.about.join(" "), 0)]),
    `Usage: ${program}${rest}${positionals}${flags}`,
    ...(children.length === 0 ? [] : [entries("Commands", children)]),
    ...groups(command, own),
    ...(command.examples.length === 0 ? [] : [examples(command)]),
    ...(children.length === 0 ? [] : [`More about a command: ${program} COMMAND --help`]),
  ]
  return `${parts.join("\n\n")}\n`
}

/** A heading and one line for each command. */
export function entries(heading: string, children: readonly Entry[]): string {
  const column = Math.max(...children.map((child) => child.name.length)) + 4
  const lines = children.map((child) => `  ${child.name}`.padEnd(column) + child.summary)
  return [`${heading}:`, ...lines].join("\n")
}

function groups(command: Command, rows: readonly (readonly [string, Row])[]): readonly string[] {
  const inherited = new Set(command.inherited)
  const ordered = [
    ...rows.filter(([name]) => !inherited.has(name)),
    ...rows.filter(([name]) => inherited.has(name)),
  ]
  const headings = [...new Set(ordered.map(([, row]) => row.group))]
  const columns = ordered.map(([name, row]) => synopsis(name, row).length)
  const column = Math.min(Math.max(0, ...columns) + 2, 34)
  return headings.map((heading) => {
    const lines = ordered
      .filter(([, row]) => row.group === heading)
      .map(([name, row]) => line(command, name, row, column))
    return [`${heading}:`, ...lines].join("\n")
  })
}

function line(command: Command, name: string, row: Row, column: number): string {
  const left = synopsis(name, row)
  const facts = [defaultText(row), envText(command, name, row)].filter((fact) => fact !== "")
  const text = facts.length === 0 ? row.doc : `${row.doc} (${facts.join("; ")})`
  const right = wrap(text, column)
  return left.length + 2 > column
    ? `${left}\n${" ".repeat(column)}${right}`
    : `${left.padEnd(column)}${right}`
}

function synopsis(name: string, row: Row): string {
  const letter = row.shorthand === undefined ? "    " : `-${row.shorthand}, `
  const value = row.type === "bool" ? "" : ` ${row.placeholder ?? placeholders[row.type]}`
  return `  ${letter}--${name}${value}`
}
const placeholders = {
  string: "TEXT",
  int: "N",
  duration: "DURATION",
  list: "A,B",
  choice: "WORD",
} as const

function defaultText(row: Row): string {
  if (row.default === undefined || row.default === "" || row.default === false) return ""
  return `default ${row.default}`
}

const envText = (command: Command, name: string, row: Row): string => {
  const known = envNames(command, name, row)
  return known.length === 0 ? "" : `env ${known.join(" or ")}`
}

const examples = (command: Command): string =>
  ["Examples:", ...command.examples.map(({ line: text, doc }) => `  # ${doc}\n  ${text}`)].join(
    "\n",
  )

/**
 * Breaks at blanks so that lines, indented by `column` from the second on, stay within the width.
 */
function wrap(text: string, column: number): string {
  const lines: string[] = []
  let current = ""
  for (const word of text.split(" ")) {
    if (current !== "" && column + current.length + 1 + word.length > width) {
      lines.push(current)
      current = word
    } else current = current === "" ? word : `${current} ${word}`
  }
  return [...lines, current].join(`\n${" ".repeat(column)}`)
}

/** What to say of a word that is no command. */
export function unknownCommand(
  word: string,
  children: readonly Entry[],
  otherwise: string | null = null,
): string {
  const near = suggest(
    word,
    children.map((child) => child.name),
  )
  const advice = near === null ? otherwise : `did you mean ${near}?`
  const tail = advice === null ? "" : `; ${advice}`
  return `unknown command "${word}"${tail}\n${entries("Commands", children)}`
}
