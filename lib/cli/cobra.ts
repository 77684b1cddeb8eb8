/**
 * Usage and refusals as Go's programs print them, for the go dialect. Layout and order are those of
 * cobra; the words beside the flags are ours. The FATAL line carries a time, which the caller
 * gives.
 */
import type { Command, Row } from "./flag.ts"
import { rowsIn } from "./flag.ts"
import { goPlace } from "./go-places.ts"
import { by, byText } from "#base/order.ts"
import { goQuote } from "#base/text.ts"
import type { Entry } from "./help.ts"

/**
 * The usage text: what follows `Error: …`, and what help ends with. `bare`: without the flags that
 * cobra adds to a command when it runs it.
 */
export function goUsage(
  command: Command,
  program: string,
  children: readonly Entry[] = [],
  bare = false,
): string {
  const own = goRows(command).filter(([name]) => !command.inherited.includes(name))
  const global = goRows(command).filter(([name]) => command.inherited.includes(name))
  const added = [helpOf(command), ...(command.goVersion ? [versionOf(command)] : [])]
  const flags = flagLines([...own, ...(bare ? [] : added)])
  const known = [...children, ...(children.length === 0 ? [] : [helpEntry])]
  const names = known.toSorted(by((child) => child.name, byText))
  const column = Math.max(11, ...names.map((child) => child.name.length))
  const parts = [
    `Usage:\n  ${program} [flags]${names.length === 0 ? "" : `\n  ${program} [command]`}`,
    ...(names.length === 0
      ? []
      : [
          `Available Commands:\n${names.map((c) => `  ${c.name.padEnd(column)} ${c.summary}`).join("\n")}`,
        ]),
    `Flags:\n${flags}`,
    ...(global.length === 0 ? [] : [`Global Flags:\n${flagLines(global)}`]),
    ...(names.length === 0
      ? []
      : [`Use "${program} [command] --help" for more information about a command.`]),
  ]
  return `${parts.join("\n\n")}\n`
}

/** What `--help` prints. */
export function goHelp(command: Command, program: string, children: readonly Entry[] = []): string {
  const title = command.goSummary ?? capital(command.summary)
  return `${title === "" ? "" : `${title}\n\n`}${goUsage(command, program, children)}`
}

/** A FATAL line of Go's logger: time, level, place, message. */
export const fatalLine = (at: string, program: string, message: string): string =>
  `${at}	FATAL	${goPlace(program, message)}	${message}
`

const helpEntry: Entry = { name: "help", summary: "Help about any command" }
const capital = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`

type Named = readonly [string, Row]
const goRows = (command: Command): readonly Named[] =>
  rowsIn(command.flags, "go").filter(
    ([, row]) => row.deprecated === undefined && row.extension === undefined,
  )
const title = (command: Command): string =>
  command.name === "ctl"
    ? "stolonctl"
    : command.goSummary === ""
      ? `stolon-${command.name}`
      : command.name
const helpOf = (command: Command): Named => [
  "help",
  { type: "bool", shorthand: "h", group: "", doc: `help for ${title(command)}` },
]
const versionOf = (command: Command): Named => [
  "version",
  { type: "bool", group: "", doc: `version for ${title(command)}` },
]

function flagLines(rows: readonly Named[]): string {
  const lines = rows.toSorted(by(([name]) => name, byText)).map(([name, row]) => {
    const letter = row.shorthand === undefined ? "    " : `-${row.shorthand}, `
    const type = row.type === "bool" ? "" : ` ${typeNames[row.type]}`
    return { left: `  ${letter}--${name}${type}`, right: `${row.doc}${goDefault(row)}` }
  })
  const column = Math.max(0, ...lines.map((line) => line.left.length)) + 3
  return lines.map((line) => `${line.left.padEnd(column)}${line.right}`).join("\n")
}
const typeNames = {
  string: "string",
  int: "int",
  duration: "duration",
  list: "string",
  choice: "string",
} as const

function goDefault(row: Row): string {
  const value = row.default
  if (value === undefined || value === "" || value === false || value === 0) return ""
  const quoted =
    row.type === "duration" || typeof value !== "string" ? String(value) : goQuote(value)
  return ` (default ${quoted})`
}
