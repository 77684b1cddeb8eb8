/**
 * Help teaches: what the command does, how to call it, every flag with default and environment,
 * examples.
 */
import { describe, expect, test } from "bun:test"
import { ctlCommand } from "#cli/ctl.ts"
import { choose, ctlTree } from "#cli/ctl-tree.ts"
import { goHelp } from "#cli/cobra.ts"
import { devCommand } from "#cli/dev.ts"
import type { Command } from "#cli/flag.ts"
import { generateTree } from "#cli/generate.ts"
import { help, unknownCommand } from "#cli/help.ts"
import { keeperCommand } from "#cli/keeper.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { ctlAdvice, rootCommand, rootEntries } from "#cli/root.ts"
import { sentinelCommand } from "#cli/sentinel.ts"
import type { Node } from "#cli/tree.ts"
import { versionCommand } from "#cli/version.ts"
import { sample } from "./sample.ts"

const leaves = (node: Node): readonly Command[] => [node.command, ...node.children.flatMap(leaves)]
const everyCommand: readonly Command[] = [
  keeperCommand,
  sentinelCommand,
  proxyCommand,
  devCommand,
  versionCommand,
  ...leaves(ctlTree),
  ...leaves(generateTree),
]

describe("help()", () => {
  test("renders a command from its table", () => {
    expect(help(sample, "stolon sample")).toMatchInlineSnapshot(`
"stolon sample: try the parser

Usage: stolon sample [WORD] [flags]

A:
      --name TEXT           a name (env STSAMPLE_NAME or STOLON_NAME)
      --wait DURATION       a time (default 5s; env STSAMPLE_WAIT or STOLON_WAIT)
      --count N             a number (default 3; env STSAMPLE_COUNT)
      --hosts A,B           a list (env STSAMPLE_HOSTS)
      --safe                a switch that is on (default true; env STSAMPLE_SAFE)
  -y, --yes                 a switch
  -f, --file TEXT           a file
      --level WORD          a word (default low; env STSAMPLE_LEVEL)
      --password TEXT       a secret (env STSAMPLE_PASSWORD)
      --password-file TEXT  a file with a secret (env STSAMPLE_PASSWORD_FILE)
      --uid TEXT            a uid (env STSAMPLE_UID)
      --late TEXT           ours (env STSAMPLE_LATE)

Examples:
  # the usual
  stolon sample --name x
"
`)
  })

  test("lists the commands of stolon", () => {
    const text = help(rootCommand, "stolon", rootEntries)
    const column = Math.max(...rootEntries.map(({ name }) => name.length))
    for (const { name, summary } of rootEntries)
      expect(text).toContain(`  ${name.padEnd(column)}  ${summary}\n`)
    expect(text).toContain("More about a command: stolon COMMAND --help\n")
  })

  test.each(everyCommand.map((command) => [command.name, command] as const))(
    "of %s names every flag and stays within 100 columns",
    (_, command) => {
      const text = help(command, `stolon ${command.name}`)
      const hidden = Object.entries(command.flags).filter(
        ([, row]) => row.deprecated || row.only === "go",
      )
      const shown = Object.keys(command.flags).filter(
        (name) => !hidden.some(([other]) => other === name),
      )
      for (const name of shown) expect(text).toMatch(new RegExp(`--${name}[ \\n]`))
      for (const [name] of hidden) expect(text).not.toContain(`--${name} `)
      const [flags = ""] = text.split("\nExamples:")
      expect(flags.split("\n").filter((line) => line.length > 100)).toEqual([])
    },
  )
})

test("every command that does something has an example, and says in a line what it does", () => {
  const withoutExample = new Set(["clusterdata", "store", "version", "help", "completion"])
  for (const command of everyCommand) {
    expect(command.summary).toMatch(/^\S.{10,70}$/)
    if (!withoutExample.has(command.name)) expect(command.examples).not.toEqual([])
    for (const { line } of command.examples)
      expect(line).toContain(command.name.split(" ")[0] ?? "")
  }
})

test("help() of a subcommand shows its own flags in full and those of every one by name", () => {
  const text = help(ctlTree.children[0]!.command, "stolon ctl status")
  expect(text).toContain("\nCommand:\n  -f, --format text|json")
  expect(text).toContain(
    "As with every subcommand (more: stolon ctl --help):\n  --cluster-name NAME (required)  --store-backend KIND (required)",
  )
})

test("help() breaks a long example as a shell takes it", () => {
  const [, examples = ""] = help(keeperCommand, "stolon keeper").split("Examples:")
  expect(examples).toContain(" \\\n      --")
  for (const line of examples.split("\n")) expect(line.length).toBeLessThanOrEqual(100)
})

describe("the tables", () => {
  test.each(everyCommand.map((command) => [command.name, command] as const))(
    "of %s are sound",
    (_, command) => {
      const rows = Object.entries(command.flags)
      const shorthands = rows.flatMap(([, row]) =>
        row.shorthand === undefined ? [] : [row.shorthand],
      )
      expect(new Set(shorthands).size).toBe(shorthands.length)
      expect(shorthands).not.toContain("h")
      for (const [name, row] of rows) {
        expect(name).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/)
        expect(row.doc).not.toEndWith(".")
        for (const other of row.conflicts ?? []) expect(Object.keys(command.flags)).toContain(other)
        if (row.type === "choice") expect(row.choices).toContain(row.default)
        if (name.endsWith("password")) expect(row.secret).toBe(true)
      }
    },
  )
})

test("goHelp() has cobra's layout and leaves ours out", () => {
  expect(goHelp(sample, "stolon-sample")).toMatchInlineSnapshot(`
"Try the parser

Usage:
  stolon-sample [flags]

Flags:
      --count int              a number (default 3)
  -f, --file string            a file
  -h, --help                   help for sample
      --hosts string           a list
      --level string           a word (default "low")
      --name string            a name
      --old string             Go's
      --password string        a secret
      --password-file string   a file with a secret
      --safe                   a switch that is on (default true)
      --uid string             a uid
      --version                version for sample
      --wait duration          a time (default 5s)
  -y, --yes                    a switch
"
`)
})

describe("unknownCommand()", () => {
  test("advises the nearest command", () => {
    expect(unknownCommand("kepeer", rootEntries)).toStartWith(
      'unknown command "kepeer"; did you mean keeper?\n',
    )
    expect(unknownCommand("zzz", rootEntries)).toStartWith('unknown command "zzz"\n')
  })
  test("advises a subcommand of ctl", () => {
    expect(ctlAdvice("stauts")).toBe("did you mean stolon ctl status?")
    expect(ctlAdvice("zzz")).toBeNull()
  })
})

describe("choose()", () => {
  const at = "<time>"
  const release = { version: "1.2.3", commit: "", runtime: "Bun" }
  const chosen = (line: string, dialect: "go" | "stolon" = "stolon") => {
    const program = dialect === "go" ? "stolonctl" : "stolon ctl"
    const argv = line.split(" ").filter((word) => word !== "")
    const it = choose({ argv, dialect, program, env: {} }, release, at)
    return it.kind === "chosen"
      ? [it.path, it.invocation.argv.join(" "), it.invocation.program]
      : it
  }
  test("finds the subcommand before, between and after flags", () => {
    expect(chosen("status -f json")).toEqual(["status", "-f json", "stolon ctl status"])
    expect(chosen("--cluster-name x -f json status")).toEqual([
      "status",
      "--cluster-name x -f json",
      "stolon ctl status",
    ])
    expect(
      chosen("--store-skip-tls-verify clusterdata --cluster-name=x read --pretty", "go"),
    ).toEqual([
      "clusterdata read",
      "--store-skip-tls-verify --cluster-name=x --pretty",
      "stolonctl clusterdata read",
    ])
  })
  test("finds it beside a flag that nobody knows, so that the mistake can be named", () => {
    expect(chosen("--nosuch status")).toEqual(["status", "--nosuch", "stolon ctl status"])
  })
  test("hides what Go's stolonctl does not have", () => {
    expect(chosen("failover", "go")).toMatchObject({ exit: 1 })
    expect(chosen("failover")).toEqual(["failover", "", "stolon ctl failover"])
  })
  test("prints help for a command without a subcommand", () => {
    expect(chosen("")).toMatchObject({ kind: "stop", exit: 0, stderr: "" })
    expect(chosen("clusterdata")).toMatchObject({ kind: "stop", exit: 0, stderr: "" })
    expect(chosen("help init")).toMatchObject({
      stdout: help(ctlTree.children[1]!.command, "stolon ctl init"),
      exit: 0,
    })
  })
  test("prints the version in the dialect's form", () => {
    expect(chosen("--version", "go")).toMatchObject({ stdout: "stolonctl version 1.2.3\n" })
    expect(chosen("--version")).toMatchObject({ stdout: "stolon 1.2.3, Bun\n" })
  })
  test("refuses a word that is no subcommand", () => {
    expect(chosen("clusterdata raed")).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining("did you mean read?"),
    })
    expect(chosen("clusterdata raed", "go")).toMatchObject({ exit: 0 })
  })
  test("knows the global flags of ctl at the root", () => {
    expect(Object.keys(ctlCommand.flags)).toContain("kube-context")
  })
})
