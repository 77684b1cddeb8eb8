/**
 * Whatever stands on a command line or in the environment: never an exception; what is wrong is
 * named, with exit code 1 under a Go name and 2 under ours; no secret in a message. The go dialect
 * is compared with a second reading of pflag's rules.
 */
import { expect, test } from "bun:test"
import { type Random, generator } from "#base/random.ts"
import { parseDuration } from "#base/duration.ts"
import { choose, ctlTree } from "#cli/ctl-tree.ts"
import { storeFlags } from "#cli/common.ts"
import { devCommand } from "#cli/dev.ts"
import { type Command, type Dialect, type Flags, type Row, camel, rowsIn } from "#cli/flag.ts"
import { keeperCommand } from "#cli/keeper.ts"
import { envNames, parse } from "#cli/parse.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { sentinelCommand } from "#cli/sentinel.ts"
import { checkStore } from "#cli/store.ts"
import type { Node } from "#cli/tree.ts"
import { fuzz, pick } from "./fuzz.ts"
import { oddTexts } from "./mutate.ts"
import { type Known, oracle } from "./pflag-oracle.ts"

const leaves = (node: Node): readonly Command[] =>
  node.children.length === 0 ? [node.command] : node.children.flatMap(leaves)
const components: readonly Command[] = [keeperCommand, sentinelCommand, proxyCommand]
const all: readonly Command[] = [...components, ...leaves(ctlTree), devCommand]

const secretWord = "hunter2-hunter2"
const values = [
  ...oddTexts,
  "1",
  "t",
  "TRUE",
  "False",
  "yes",
  "0b11",
  "0o17",
  "017",
  "1_0",
  "_1",
  "1__0",
  "+7",
  "-7",
  "9223372036854775808",
  "1.5h",
  "etcdv3",
  "info",
  "a,b,,c",
  "=",
  "--",
  "-",
  "--help",
]

const namesOf = (flags: Flags, dialect: Dialect): readonly (readonly [string, Row])[] =>
  rowsIn(flags, dialect).flatMap(([name, row]) => [
    [name, row] as const,
    ...(row.aliases ?? []).map((alias) => [alias.name, row] as const),
  ])

/** One argument, or a flag and its value. */
function words(random: Random, command: Command, dialect: Dialect): readonly string[] {
  const flags = namesOf(command.flags, dialect)
  if (flags.length === 0 || random.below(10) === 0) return [pick(random, values)]
  const [name, row] = pick(random, flags)
  const value = pick(random, values)
  if (row.secret === true)
    return random.below(2) === 0 ? [`--${name}=${secretWord}`] : [`--${name}`, secretWord]
  const short = row.shorthand ?? pick(random, ["h", "x", "y", "f", "="])
  const forms: readonly (readonly string[])[] = [
    [`--${name}=${value}`],
    [`--${name}=${value}`],
    [`--${name}`, value],
    [`--${name}`],
    [`-${name}=${value}`],
    [`-${short}`, value],
    [`-${short}${value}`],
    [`-${short}=${value}`],
    [`-${short}${short}`],
    [`--${name.slice(0, -1)}=${value}`],
    [`--${name.toUpperCase()}`],
    [`---${name}`],
    [`--=${value}`],
    ["--"],
    ["-"],
    ["--help"],
    ["--help=false"],
    ["-h"],
    ["--version"],
    [value],
  ]
  return pick(random, forms)
}

const argvOf = (random: Random, command: Command, dialect: Dialect): readonly string[] =>
  Array.from({ length: random.below(6) }, () => words(random, command, dialect)).flat()

function environmentOf(random: Random, command: Command): Record<string, string> {
  const env: Record<string, string> = {}
  for (let i = random.below(4); i > 0; i--) {
    const flags = namesOf(command.flags, "go")
    if (flags.length === 0) break
    const [name, row] = pick(random, flags)
    const [variable] = envNames(command, name, row)
    if (variable !== undefined)
      env[variable] = row.secret === true ? secretWord : pick(random, values)
  }
  return env
}

const bools = /^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/
function wrongFor(row: Row): (text: string) => boolean {
  if (row.type === "bool") return (text) => !bools.test(text)
  if (row.type === "int") return (text) => !isGoInteger(text)
  if (row.type !== "duration") return () => false
  return (text) => {
    try {
      parseDuration(text)
      return false
    } catch {
      return true
    }
  }
}

/** By spelling out, digit by digit, what ParseInt(text, 0, 64) takes. */
function isGoInteger(text: string): boolean {
  const body = text.replace(/^[+-]/, "")
  const [prefix, base]: readonly [string, number] = /^0[xX]/.test(body)
    ? ["0x", 16]
    : /^0[bB]/.test(body)
      ? ["0b", 2]
      : /^0[oO]/.test(body)
        ? ["0o", 8]
        : body.length > 1 && body.startsWith("0")
          ? ["0", 8]
          : ["", 10]
  const digits = body.slice(prefix.length)
  if (digits === "" || digits.endsWith("_") || digits.includes("__")) return false
  if (prefix === "" && digits.startsWith("_")) return false
  for (const c of digits)
    if (c !== "_" && !(c in digitValues && (digitValues[c] ?? 99) < base)) return false
  const plain = digits.replaceAll("_", "")
  const n = BigInt(prefix === "0" ? `0o${plain}` : prefix === "" ? plain : `${prefix}${plain}`)
  return n <= BigInt(Number.MAX_SAFE_INTEGER) // ports and counts: more is out of any range
}
const digitValues: Readonly<Record<string, number>> = Object.fromEntries(
  "0123456789abcdef".split("").flatMap((c, i) => [
    [c, i],
    [c.toUpperCase(), i],
  ]),
)

function tableOf(command: Command): {
  readonly known: ReadonlyMap<string, Known>
  readonly shorthands: ReadonlyMap<string, string>
} {
  const known = new Map<string, Known>()
  const shorthands = new Map<string, string>()
  const add = (name: string, row: Row): void => {
    known.set(name, {
      bool: row.type === "bool",
      wrong: wrongFor(row),
      shorthand: row.shorthand ?? null,
    })
    if (row.shorthand !== undefined) shorthands.set(row.shorthand, name)
  }
  const switchRow = { type: "bool", doc: "", group: "" } as const
  add("help", { ...switchRow, shorthand: "h" })
  if (command.goVersion) add("version", switchRow)
  for (const [name, row] of namesOf(command.flags, "go")) add(name, row)
  return { known, shorthands }
}

const ascii = (argv: readonly string[]): boolean => argv.every((word) => /^[ -~]*$/.test(word))

fuzz("argv under a Go name is read as pflag reads it (1.1)", 6_000, (random) => {
  const command = pick(
    random,
    all.filter((each) => each.extension === undefined),
  )
  const argv = argvOf(random, command, "go")
  if (!ascii(argv)) return // how pflag cuts a letter in two bytes is nobody's business
  const { known, shorthands } = tableOf(command)
  const expected = oracle(known, shorthands, argv)
  const parsed = parse(command, argv, {}, "go")
  if (parsed.kind === "usage-error") {
    expect([parsed.exit, parsed.message.includes("\n\n")]).toEqual([1, false])
    if (parsed.report === "usage") expect(parsed.message).toStartWith(expected.error ?? "no error")
    else expect(expected.error).toBe(null) // a word that is checked later, after help and version
    return
  }
  expect(expected.error).toBe(null)
  const asked = (name: string): boolean => {
    const last = expected.set.findLast(([each]) => each === name)
    return last !== undefined && !/^(0|f|F|FALSE|false|False)$/.test(last[1])
  }
  if (asked("help")) return expect(parsed.kind).toBe("help")
  if (asked("version")) return expect(parsed.kind).toBe("version")
  if (parsed.kind !== "ok") throw new Error(`${parsed.kind} was not asked for`)
  expect(parsed.positionals).toEqual([...expected.words])
  for (const [name, row] of rowsIn(command.flags, "go")) {
    const slots = [name, ...(row.aliases ?? []).map((alias) => alias.name)]
    const last = expected.set.findLast(([each]) => slots.includes(each))
    if (row.type === "choice") continue
    expect([name, parsed.changed.has(name)]).toEqual([name, last !== undefined])
    const value: unknown = Reflect.get(parsed.values, camel(name))
    if (last !== undefined && row.type === "string") expect(value).toBe(last[1])
    if (last !== undefined && row.type === "bool") expect(value).toBe(/^[1tT]/.test(last[1]))
  }
})

fuzz("argv and environment never throw, and what is wrong is named", 6_000, (random) => {
  const command = pick(random, all)
  for (const dialect of ["go", "stolon"] as const) {
    const argv = argvOf(random, command, dialect)
    const env = environmentOf(random, command)
    const parsed = parse(command, argv, env, dialect)
    if (parsed.kind !== "usage-error") continue
    const { message } = parsed
    expect(parsed.exit).toBe(dialect === "go" ? 1 : 2)
    expect(message).not.toContain(secretWord)
    // which flag, which variable, which word; Go's own text on a log level names the value
    expect(message).toMatch(/flag|--|(ST[A-Z]*|STOLON)_[A-Z]|argument "|^invalid log level: /)
    expect(message.length).toBeLessThan(20_000)
  }
})

fuzz(
  "the environment of a Go name: the last wrong flag of the alphabet decides (1.2)",
  3_000,
  (random) => {
    const command = pick(random, components)
    const env = environmentOf(random, command)
    const parsed = parse(command, [], env, "go")
    const wrong = namesOf(command.flags, "go")
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .findLast(([name, row]) => {
        const [variable = ""] = envNames(command, name, row)
        const text = env[variable] ?? ""
        return text !== "" && wrongFor(row)(text)
      })
    if (wrong === undefined) {
      if (parsed.kind === "usage-error") expect(parsed.message).not.toStartWith("invalid value")
      return
    }
    const [name] = wrong
    const variable = `${command.prefix}_${name.toUpperCase().replaceAll("-", "_")}`
    if (parsed.kind !== "usage-error") throw new Error(`${variable} was taken`)
    expect([parsed.exit, parsed.report]).toEqual([1, "fatal"])
    expect(parsed.message).toStartWith(`invalid value `)
    expect(parsed.message).toContain(` for ${variable}: invalid argument `)
    expect(parsed.message).toContain(` for "--${name}" flag: `)
  },
)

fuzz("stolonctl finds its subcommand or says what it did not understand", 4_000, (random) => {
  const names = [...ctlTree.children.map(({ command }) => command.name), "read", "write", "stauts"]
  const command = pick(random, leaves(ctlTree))
  const argv = Array.from({ length: random.below(5) }, () =>
    random.below(2) === 0 ? [pick(random, names)] : words(random, command, "go"),
  ).flat()
  for (const dialect of ["go", "stolon"] as const) {
    const release = { version: "v1", commit: "", runtime: "" }
    const chosen = choose({ argv, dialect, program: "x", env: {} }, release, "now")
    if (chosen.kind === "chosen") continue
    const { exit, stderr, stdout } = chosen
    expect([0, dialect === "go" ? 1 : 2]).toContain(exit)
    expect(stderr === "" && stdout === "").toBe(false)
  }
})

fuzz("store flags are refused with the flag's name or taken", 3_000, (random) => {
  for (const dialect of ["go", "stolon"] as const) {
    const argv = Object.keys(storeFlags).flatMap((name) =>
      random.below(2) === 0 ? [] : [`--${name}=${pick(random, values)}`],
    )
    const parsed = parse({ ...proxyCommand, flags: storeFlags }, argv, {}, dialect)
    if (parsed.kind !== "ok") continue
    const checked = checkStore(parsed.values, dialect)
    if (checked.kind === "refused") expect(checked.message.length).toBeGreaterThan(5)
  }
})

test("random command lines are taken often enough to mean something", () => {
  const kinds = new Map<string, number>()
  for (let seed = 1; seed <= 500; seed++) {
    const random = generator(seed)
    const command = pick(random, all)
    const { kind } = parse(command, argvOf(random, command, "go"), {}, "go")
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  for (const kind of ["ok", "usage-error", "help"]) expect(kinds.get(kind) ?? 0).toBeGreaterThan(20)
})
