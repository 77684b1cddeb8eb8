/**
 * Help of the stolon dialect, rendered from the tables: what the command does, how to call it, its
 * flags by group with defaults and environment variables, and examples to copy. The go dialect's
 * usage is `cobra.ts`.
 *
 * Text in, text out. A secret's value never gets here: help knows rows, not values.
 */
import { nearest } from "#base/text.ts"
import { type Command, type Row, rowsIn } from "./flag.ts"
import { envNames } from "./parse.ts"

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
    ...inherited(command, program, own),
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
  const ordered = rows.filter(([name]) => !command.inherited.includes(name))
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

/**
 * The parent's flags by name only: its help says more, and here they would hide the command's own.
 */
function inherited(
  command: Command,
  program: string,
  rows: readonly (readonly [string, Row])[],
): readonly string[] {
  const words = rows
    .filter(([name]) => command.inherited.includes(name))
    .map(([name, row]) => `${synopsis(name, row).trim()}${row.required ? " (required)" : ""}`)
  if (words.length === 0) return []
  const root = program.split(" ").slice(0, 2).join(" ")
  return [`As with every subcommand (more: ${root} --help):\n  ${wrapped(words, "  ", 2)}`]
}

function line(command: Command, name: string, row: Row, column: number): string {
  const left = synopsis(name, row)
  const needed = row.required === true ? "required" : ""
  const facts = [needed, defaultText(row), envText(command, name, row)].filter((it) => it !== "")
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
  const value = (row.type === "string" ? row.better : undefined) ?? row.default
  return value === undefined || value === "" || value === false ? "" : `default ${value}`
}

const envText = (command: Command, name: string, row: Row): string => {
  const known = envNames(command, name, row)
  return known.length === 0 ? "" : `env ${known.join(" or ")}`
}

const examples = (command: Command): string =>
  [
    "Examples:",
    ...command.examples.map(({ line: text, doc }) => `  # ${doc}\n  ${continued(text)}`),
  ].join("\n")

/** A long line as a shell takes it over several, broken before flags. */
function continued(text: string): string {
  if (text.length + 2 <= width) return text
  const words = text.split(/ (?=--)/).map((word, i) => (i === 0 ? word : word.trim()))
  return wrapped(words, " ", 6, " \\")
}

/**
 * Breaks at blanks so that lines, indented by `column` from the second on, stay within the width.
 */
const wrap = (text: string, column: number): string => wrapped(text.split(" "), " ", column)

/** Words, joined by `gap`; a line that goes on ends with `mark`. */
function wrapped(words: readonly string[], gap: string, column: number, mark = ""): string {
  const lines: string[] = []
  let current = ""
  for (const word of words) {
    const longer = current === "" ? word : `${current}${gap}${word}`
    if (current !== "" && column + longer.length + mark.length > width) {
      lines.push(`${current}${mark}`)
      current = word
    } else current = longer
  }
  return [...lines, current].join(`\n${" ".repeat(column)}`)
}

/** What to say of a word that is no command. */
export function unknownCommand(
  word: string,
  children: readonly Entry[],
  otherwise: string | null = null,
): string {
  const near = nearest(
    word,
    children.map((child) => child.name),
  )
  const advice = near === null ? otherwise : `did you mean ${near}?`
  const tail = advice === null ? "" : `; ${advice}`
  return `unknown command "${word}"${tail}\n${entries("Commands", children)}`
}
