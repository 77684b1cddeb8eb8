/**
 * The recorded command lines of Go's programs (`test/golden/cli/arguments.tsv`), as far as flags
 * and checks of flags go: exit code, first line of output, first and last line and number of lines
 * of error output.
 */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { choose } from "#cli/ctl-tree.ts"
import { checkDataDir, checkPasswords, checkPostgres, checkUid } from "#cli/keeper-checks.ts"
import { fatalLine } from "#cli/cobra.ts"
import type { Command, Flags } from "#cli/flag.ts"
import { type Stop, front } from "#cli/front.ts"
import type { Invocation } from "#cli/invocation.ts"
import { keeperCommand } from "#cli/keeper.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { sentinelCommand } from "#cli/sentinel.ts"
import { checkStore } from "#cli/store.ts"

interface Recorded {
  readonly program: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly exit: number
  readonly stdout: string
  readonly lines: number
  readonly first: string
  readonly last: string
}

const rows: readonly Recorded[] = readFileSync(
  new URL("../../golden/cli/arguments.tsv", import.meta.url),
  "utf8",
)
  .trimEnd()
  .split("\n")
  .slice(1)
  .map((line) => {
    const [
      program = "",
      argv = "",
      env = "",
      exit = "",
      stdout = "",
      lines = "",
      first = "",
      last = "",
    ] = line.split("\t")
    return {
      program,
      argv: argv === "" ? [] : argv.split(" "),
      env: Object.fromEntries(env === "" ? [] : env.split(" ").map((pair) => pair.split("=", 2))),
      exit: Number(exit),
      stdout,
      lines: Number(lines),
      first: first.replaceAll("\\t", "\t"),
      last: last.replaceAll("\\t", "\t"),
    }
  })

const release = { version: "", commit: "", runtime: "Bun" }
const at = "<time>"
const stop = (stderr: string, exit = 1): Stop => ({ kind: "stop", stdout: "", stderr, exit })
const fatal = (message: string): Stop => stop(fatalLine(at, message))

/** Runs as far as flags go; null: the command would go on (to the store, to files). */
function outcome({ program, argv, env }: Recorded): Stop | null {
  const invocation: Invocation = { argv, dialect: "go", program, env }
  switch (program) {
    case "stolon-keeper":
      return keeper(invocation)
    case "stolon-sentinel":
      return service(sentinelCommand, invocation)
    case "stolon-proxy":
      return service(proxyCommand, invocation)
    default: {
      const choice = choose(invocation, release, at)
      return choice.kind === "stop" ? choice : null
    }
  }
}

function service<F extends Flags>(command: Command<F>, invocation: Invocation): Stop | null {
  const result = front(command, invocation, release, at)
  if (result.kind === "stop") return result
  const checked = checkStore(result.values as never, "go")
  return checked.kind === "refused" ? withNotices(result.stderr, fatal(checked.message)) : null
}
const withNotices = (notices: string, it: Stop): Stop => ({
  ...it,
  stderr: `${notices}${it.stderr}`,
})

function keeper(invocation: Invocation): Stop | null {
  const result = front(keeperCommand, invocation, release, at)
  if (result.kind === "stop") return result
  const { values, changed } = result
  const refuse = (message: string, warnings: readonly string[] = []): Stop =>
    withNotices(
      result.stderr + warnings.map((text) => `${at}\tWARN\tcmd/x.ts\t${text}\n`).join(""),
      fatal(message),
    )
  const dir = checkDataDir(values, "go")
  if (dir !== null) return refuse(dir)
  const store = checkStore(values, "go")
  if (store.kind === "refused") return refuse(store.message)
  if (values.dataDir.startsWith("/proc/")) return null
  const postgres = checkPostgres(values, changed, "stolon", "go")
  if (postgres.kind === "refused") return refuse(postgres.message, postgres.warnings)
  const { superuser, replication } = postgres.value
  if (superuser.password.kind === "file" || replication.password.kind === "file") return null
  const text = (it: typeof superuser) => (it.password.kind === "given" ? it.password.text : null)
  const passwords = checkPasswords(postgres.value, {
    superuser: text(superuser),
    replication: text(replication),
  })
  const warnings = [...postgres.warnings, ...passwords.warnings]
  if (passwords.kind === "refused") return refuse(passwords.message, warnings)
  const uid = checkUid(values.uid, "go")
  return uid === null ? null : refuse(uid, ["exclusive lock on data dir taken"])
}

/**
 * Without the place in the source, which is another; and INFO for WARN where only the lock is told.
 */
const placeless = (line: string): string =>
  line.replace(/\t(?:WARN|INFO)\t[^\t]*\t/, "\tWARN\t").replace(/\tFATAL\t[^\t]*\t/, "\tFATAL\t")

/** Commands that this version does not have, and what needs files or a store. */
const beyond = (row: Recorded): boolean =>
  row.argv.includes("register") ||
  row.first.includes("sentinel uid") ||
  row.first.includes("proxy uid")

describe("the go dialect", () => {
  for (const row of rows.filter((it) => !beyond(it))) {
    const stopped = outcome(row)
    if (stopped === null) continue
    const name = [
      ...Object.entries(row.env).map(([k, v]) => `${k}=${v}`),
      row.program,
      ...row.argv,
    ].join(" ")
    test(`answers ${name} as Go does`, () => {
      const told = stopped.stderr.split("\n")
      const seen = told.filter((line) => line !== "")
      expect({
        exit: stopped.exit,
        stdout: stopped.stdout.split("\n")[0],
        first: placeless(seen[0] ?? ""),
        last: placeless(seen.at(-1) ?? ""),
      }).toEqual({
        exit: row.exit,
        stdout: row.stdout,
        first: placeless(row.first),
        last: placeless(row.last),
      })
      // `register` is not in our list of commands, which is one line of the root's usage
      const missing =
        row.program === "stolonctl" && stopped.stderr.includes("Available Commands") ? 1 : 0
      expect(told.length - 1).toBe(row.lines - missing)
    })
  }

  test("is checked against a good part of the recording", () => {
    const reached = rows.filter((row) => !beyond(row) && outcome(row) !== null)
    expect(reached.length).toBeGreaterThan(85)
  })
})
