/**
 * Which subcommand of `ctl` argv means, or what to print instead. Decides only; `cmd/ctl.ts` loads
 * and runs.
 */
import { fatalLine, goHelp, goUsage } from "./cobra.ts"
import {
  clusterdataCommand,
  ctlCommand,
  ctlVersionCommand,
  failkeeperCommand,
  helpCommand,
  initCommand,
  promoteCommand,
  readCommand,
  removekeeperCommand,
  specCommand,
  statusCommand,
  updateCommand,
  writeCommand,
} from "./ctl.ts"
import { explainCommand, failoverCommand, switchoverCommand } from "./ctl-moves.ts"
import { migrateCommand, storeCommand } from "./ctl-store.ts"
import {
  configureCommand,
  pauseCommand,
  recloneCommand,
  reloadCommand,
  restartCommand,
  resumeCommand,
} from "./ctl-verbs.ts"
import type { Command, Dialect } from "./flag.ts"
import { type Stop, front } from "./front.ts"
import { type Entry, help, unknownCommand } from "./help.ts"
import type { Invocation } from "./invocation.ts"
import { registerCommand } from "./register.ts"
import type { Release } from "./release.ts"
import { checkStore } from "./store.ts"
import { type Node, childrenIn, goUnknown, resolve } from "./tree.ts"

const leaf = (command: Command): Node => ({ command, children: [] })

export const ctlTree: Node = {
  command: ctlCommand,
  children: [
    leaf(statusCommand),
    leaf(initCommand),
    leaf(specCommand),
    leaf(updateCommand),
    leaf(configureCommand),
    leaf(switchoverCommand),
    leaf(failoverCommand),
    leaf(explainCommand),
    leaf(pauseCommand),
    leaf(resumeCommand),
    leaf(restartCommand),
    leaf(reloadCommand),
    leaf(recloneCommand),
    leaf(promoteCommand),
    leaf(failkeeperCommand),
    leaf(removekeeperCommand),
    leaf(registerCommand),
    { command: storeCommand, children: [leaf(migrateCommand)] },
    { command: clusterdataCommand, children: [leaf(readCommand), leaf(writeCommand)] },
    leaf(ctlVersionCommand),
    leaf(helpCommand),
  ],
}

/**
 * A leaf to run. Its invocation has argv without the words of the path, and the program with them.
 */
export interface Chosen {
  readonly kind: "chosen"
  /** `init`, `clusterdata read`, … */
  readonly path: string
  readonly invocation: Invocation
}

export function choose(invocation: Invocation, release: Release, at: string): Chosen | Stop {
  const { dialect, program } = invocation
  const found = resolve(ctlTree, invocation.argv, dialect)
  if (found.kind === "unknown") return unknown(invocation, found.node, found.path, found.word, at)
  const { node, path, argv } = found
  const inner = { ...invocation, argv, program: [program, ...path].join(" ") }
  if (node.command === helpCommand) return helpAbout(invocation, argv, release, at)
  if (node.children.length === 0) return { kind: "chosen", path: path.join(" "), invocation: inner }
  return branch(node, inner, release, at)
}

const stop = (stdout: string, stderr: string, exit: number): Stop => ({
  kind: "stop",
  stdout,
  stderr,
  exit,
})

const entriesOf = (node: Node, dialect: Dialect): readonly Entry[] =>
  childrenIn(node, dialect)
    .filter(({ command }) => command !== helpCommand)
    .map(({ command }) => ({
      name: command.name,
      summary: dialect === "go" ? (command.goSummary ?? command.summary) : command.summary,
    }))

/** A command that only holds others: help, after its flags were looked at. */
function branch(node: Node, inner: Invocation, release: Release, at: string): Stop {
  const children = entriesOf(node, inner.dialect)
  // what stands beside the flags is judged by resolve(), not by the table
  const lenient = { ...node.command, positionals: { usage: "", max: Infinity } }
  const result = front(lenient, inner, release, at, children)
  if (result.kind === "stop") return result
  const text =
    inner.dialect === "go"
      ? goHelp(node.command, inner.program, children)
      : help(node.command, inner.program, children)
  return stop(text, result.stderr, 0)
}

function unknown(
  invocation: Invocation,
  node: Node,
  path: readonly string[],
  word: string,
  at: string,
): Stop {
  const { dialect } = invocation
  const program = [invocation.program, ...path].join(" ")
  if (dialect === "stolon")
    return stop("", `${program}: ${unknownCommand(word, entriesOf(node, dialect))}\n`, 2)
  const message = goUnknown(program, word, childrenIn(node, "go"))
  const text = `Error: ${message}\nRun '${program} --help' for usage.\n${fatalLine(at, program, message)}`
  return stop("", text, 1)
}

/** `ctl help [COMMAND…]`. Go's stolonctl insists on valid common flags even here. */
function helpAbout(
  invocation: Invocation,
  argv: readonly string[],
  release: Release,
  at: string,
): Stop {
  const { dialect } = invocation
  const parsed = front(helpCommand, { ...invocation, argv }, release, at)
  if (parsed.kind === "stop") return parsed
  if (dialect === "go") {
    const checked = checkStore(parsed.values, dialect)
    if (checked.kind === "refused") return stop("", `${parsed.stderr}${checked.message}\n`, 1)
  }
  const about = resolve(ctlTree, parsed.positionals, dialect)
  const program = [invocation.program, ...about.path].join(" ")
  const children = entriesOf(about.node, dialect)
  if (about.kind === "unknown") {
    if (dialect === "stolon") return unknown(invocation, about.node, about.path, about.word, at)
    const topic = `Unknown help topic [${parsed.positionals.map((word) => `\`${word}\``).join(" ")}]`
    return stop("", `${topic}\n${goUsage(about.node.command, program, children, true)}`, 0)
  }
  const text =
    dialect === "go"
      ? goHelp(about.node.command, program, children)
      : help(about.node.command, program, children)
  return stop(text, parsed.stderr, 0)
}
