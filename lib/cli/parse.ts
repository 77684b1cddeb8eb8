/**
 * Flags, environment and defaults become values. Precedence: argv, the component's environment
 * variable, the common one (`STOLON_…`), the default. The rules differ by dialect where Go programs
 * are relied upon (reference 1.1 and 1.2).
 *
 * Pure: argv and environment come in, a result goes out; who calls prints it. A secret's value
 * appears in no message.
 */
import { byText, by } from "#base/order.ts"
import { goQuote } from "#base/text.ts"
import {
  type Command,
  type Dialect,
  type Flags,
  type Row,
  type Values,
  camel,
  commonPrefix,
  envName,
  rowsIn,
} from "./flag.ts"
import { type Given, readGo } from "./pflag.ts"
import { readStrict } from "./strict.ts"
import { type Value, defaultOf, parseValue } from "./value.ts"

export type Environment = Readonly<Record<string, string | undefined>>

/** The result. `notices` are lines for stderr, to be printed before anything else. */
export type Parsed<F extends Flags> =
  | {
      readonly kind: "ok"
      readonly values: Values<F>
      readonly positionals: readonly string[]
      /** Flags that were set, and where: `--name` or the name of the environment variable. */
      readonly changed: ReadonlyMap<string, string>
      readonly notices: readonly string[]
    }
  | { readonly kind: "help"; readonly notices: readonly string[] }
  | { readonly kind: "version"; readonly notices: readonly string[] }
  | UsageError

export interface UsageError {
  readonly kind: "usage-error"
  readonly message: string
  /**
   * How a Go program tells it: `usage` with the usage text and a FATAL line, `fatal` as a FATAL
   * line alone. In the stolon dialect `strict`: the message and where help is.
   */
  readonly report: "usage" | "fatal" | "strict"
  readonly exit: number
  readonly notices: readonly string[]
}

interface Setting {
  readonly value: Value
  /** `--name`, or the environment variable. */
  readonly source: string
}
type Settings = ReadonlyMap<string, Setting>

/** Parses by the table of `command`. */
export function parse<F extends Flags>(
  command: Command<F>,
  argv: readonly string[],
  env: Environment,
  dialect: Dialect,
): Parsed<F> {
  return dialect === "go" ? parseGo(command, argv, env) : parseStolon(command, argv, env)
}

/** The flags of a dialect, as a table of their own. */
const flagsOf = (command: Command, dialect: Dialect): Flags =>
  Object.fromEntries(rowsIn(command.flags, dialect))

function result<F extends Flags>(
  command: Command<F>,
  dialect: Dialect,
  settings: Settings,
  positionals: readonly string[],
  notices: readonly string[],
): Parsed<F> {
  const values: Record<string, Value> = {}
  for (const [name, row] of Object.entries(command.flags))
    values[camel(name)] = settings.get(name)?.value ?? defaultOf(row, dialect)
  const changed = new Map([...settings].map(([name, { source }]) => [name, source]))
  // the values were made by the same rows from which their types are inferred
  // oxlint-disable-next-line no-unsafe-type-assertion
  return { kind: "ok", values: values as Values<F>, positionals, changed, notices }
}

// ---- go

function parseGo<F extends Flags>(
  command: Command<F>,
  argv: readonly string[],
  env: Environment,
): Parsed<F> {
  const flags = flagsOf(command, "go")
  const fail = (
    report: "usage" | "fatal",
    message: string,
    notices: readonly string[],
  ): UsageError => ({
    kind: "usage-error",
    message,
    report,
    exit: 1,
    notices,
  })
  const fromEnv = goEnvironment(command, env)
  if (fromEnv.error !== null) return fail("fatal", fromEnv.error, [])
  const read = readGo({ ...goBuiltins(command), ...flags }, argv, (one) => {
    const wrong = goWrong(one, builtin(command, one.name) ?? rowOf(flags, one.name))
    return wrong
  })
  const own = deprecations(flags, read.given)
  // what the environment used is told only when argv gives a reason to tell (Go shares one buffer
  // for both)
  const notices = own.length === 0 ? [] : [...fromEnv.notices, ...own]
  if (read.kind === "error") return fail("usage", read.message, notices)
  if (lastBool(read.given, "help")) return { kind: "help", notices }
  if (command.goVersion && lastBool(read.given, "version")) return { kind: "version", notices }
  const settings = new Map(fromEnv.settings)
  for (const { name, value } of read.given) {
    const row = rowOf(flags, name)
    if (row === null) continue
    const parsed = parseValue(row.row, value, "go")
    if (parsed.kind === "value")
      settings.set(row.name, { value: parsed.value, source: `--${name}` })
  }
  for (const [name, row] of Object.entries(flags)) {
    const word = settings.get(name)?.value
    if (row.type !== "choice" || typeof word !== "string" || row.choices.includes(word)) continue
    if (row.goInvalid !== null) return fail("fatal", `${row.goInvalid}${word}`, notices)
    settings.delete(name)
  }
  return result(command, "go", settings, read.positionals, notices)
}

const helpRow: Row = { type: "bool", shorthand: "h", doc: "help", group: "", env: "none" }
const versionRow: Row = { type: "bool", doc: "version", group: "", env: "none" }
const goBuiltins = (command: Command): Flags =>
  command.goVersion ? { help: helpRow, version: versionRow } : { help: helpRow }
const builtin = (command: Command, name: string): Named | null => {
  const row = goBuiltins(command)[name]
  return row === undefined ? null : { name, row }
}
interface Named {
  readonly name: string
  readonly row: Row
}

/** The row of a name or of an alias. */
function rowOf(flags: Flags, name: string): Named | null {
  const own = Object.hasOwn(flags, name) ? flags[name] : undefined
  if (own !== undefined) return { name, row: own }
  for (const [canonical, row] of Object.entries(flags))
    if (row.aliases?.some((alias) => alias.name === name)) return { name: canonical, row }
  return null
}

function goWrong(one: Given, named: Named | null): string | null {
  if (named === null) return null
  const parsed = parseValue(named.row, one.value, "go")
  if (parsed.kind === "value") return null
  const shorthand = named.row.shorthand === undefined ? "" : `-${named.row.shorthand}, `
  return `invalid argument ${goQuote(one.value)} for "${shorthand}--${one.name}" flag: ${parsed.reason}`
}

const lastBool = (given: readonly Given[], name: string): boolean => {
  const last = given.findLast((one) => one.name === name)
  return last !== undefined && parseValue(helpRow, last.value, "go").kind === "value"
    ? !/^(0|f|F|FALSE|false|False)$/.test(last.value)
    : false
}

/**
 * Go sets flags from the environment in alphabetical order, names and aliases alike; the last
 * failure is the one it tells.
 */
function goEnvironment(
  command: Command,
  env: Environment,
): {
  readonly settings: Settings
  readonly error: string | null
  readonly notices: readonly string[]
} {
  const flags = flagsOf(command, "go")
  const settings = new Map<string, Setting>()
  const used: Given[] = []
  let error: string | null = null
  const slots = Object.entries(flags).flatMap(([name, row]) => [
    { slot: name, name, row },
    ...(row.aliases ?? []).map((alias) => ({ slot: alias.name, name, row })),
  ])
  for (const { slot, name, row } of slots.toSorted(by((s) => s.slot, byText))) {
    const found = lookUp(command, slot, row, env)
    if (found === null) continue
    const wrong = goWrong({ name: slot, value: found.text }, { name, row })
    const parsed = parseValue(row, found.text, "go")
    if (wrong !== null) error = `invalid value ${goQuote(found.text)} for ${found.name}: ${wrong}`
    else if (parsed.kind === "value") {
      settings.set(name, { value: parsed.value, source: found.name })
      used.push({ name: slot, value: found.text })
    }
  }
  return { settings, error, notices: deprecations(flags, used) }
}

/**
 * The environment's word on a flag: the component's own name first, then the common one. Empty
 * counts as unset.
 */
function lookUp(
  command: Command,
  slot: string,
  row: Row,
  env: Environment,
): { readonly name: string; readonly text: string } | null {
  for (const name of envNames(command, slot, row)) {
    const text = env[name]
    if (text !== undefined && text !== "") return { name, text }
  }
  return null
}

/** The environment variables of a flag, in the order in which they are read. */
export function envNames(command: Command, name: string, row: Row): readonly string[] {
  const scope = row.env ?? "component"
  if (scope === "none") return []
  const own = command.prefix === null ? [] : [envName(command.prefix, name)]
  return scope === "common" ? [...own, envName(commonPrefix, name)] : own
}

/** Once per use, in the order of use. */
function deprecations(flags: Flags, given: readonly Given[]): readonly string[] {
  return given.flatMap(({ name }) => {
    const named = rowOf(flags, name)
    const advice =
      named?.row.aliases?.find((alias) => alias.name === name)?.deprecated ?? named?.row.deprecated
    return advice === undefined ? [] : [`Flag --${name} has been deprecated, ${advice}`]
  })
}

// ---- stolon

function parseStolon<F extends Flags>(
  command: Command<F>,
  argv: readonly string[],
  env: Environment,
): Parsed<F> {
  const flags = flagsOf(command, "stolon")
  const fail = (message: string): UsageError => ({
    kind: "usage-error",
    message,
    report: "strict",
    exit: 2,
    notices: [],
  })
  const read = readStrict(flags, argv, command.positionals.max)
  if (read.kind === "error") return fail(read.message)
  if (read.kind !== "argv") return { kind: read.kind, notices: [] }
  const settings = new Map<string, Setting>()
  for (const [name, row] of Object.entries(flags)) {
    const found = sourceOf(command, name, row, read.given, env)
    if (found === null) continue
    const parsed = parseValue(row, found.text, "stolon")
    if (parsed.kind === "invalid") {
      const shown = row.secret === true ? "" : ` "${found.text}"`
      return fail(`${found.source}${shown}: ${parsed.reason}`)
    }
    settings.set(name, { value: parsed.value, source: found.source })
  }
  const clash = conflict(flags, settings)
  if (clash !== null) return fail(clash)
  return result(command, "stolon", settings, read.positionals, deprecations(flags, read.given))
}

function sourceOf(
  command: Command,
  name: string,
  row: Row,
  given: readonly Given[],
  env: Environment,
): { readonly source: string; readonly text: string } | null {
  const slots = [name, ...(row.aliases ?? []).map((alias) => alias.name)]
  const typed = given.find((one) => slots.includes(one.name))
  if (typed !== undefined) return { source: `--${typed.name}`, text: typed.value }
  for (const slot of slots) {
    const found = lookUp(command, slot, row, env)
    if (found !== null) return { source: found.name, text: found.text }
  }
  return null
}

function conflict(flags: Flags, settings: Settings): string | null {
  for (const [name, row] of Object.entries(flags)) {
    const one = settings.get(name)
    if (one === undefined || one.value === false) continue
    for (const other of row.conflicts ?? []) {
      const two = settings.get(other)
      if (two !== undefined && two.value !== false)
        return `${one.source} and ${two.source} exclude each other; give one of them`
    }
  }
  return null
}
