/**
 * The executable. It finds out under which name and for which command it was called, and loads that
 * command and nothing else: `stolon version` must not pay for etcd's client. Called by a Go name (a
 * symlink such as `stolonctl`) it speaks the go dialect.
 *
 * The hidden commands `launch`, `guardian`, `herald` and `proxy-worker` are for our own use and get
 * their arguments raw.
 */
import { lazily, run } from "#cli/citty.ts"
import { type Invocation, goCommand } from "#cli/invocation.ts"

const commands = {
  keeper: lazily({ name: "keeper" }, () => import("./keeper.ts")),
  sentinel: lazily({ name: "sentinel" }, () => import("./sentinel.ts")),
  proxy: lazily({ name: "proxy" }, () => import("./proxy.ts")),
  ctl: lazily({ name: "ctl" }, () => import("./ctl.ts")),
  dev: lazily({ name: "dev" }, () => import("./dev.ts")),
  generate: lazily({ name: "generate" }, () => import("./generate.ts")),
  completion: lazily({ name: "completion" }, () => import("./completion.ts")),
  version: lazily({ name: "version" }, () => import("./version.ts")),
} as const

const isCommand = (word: string): word is keyof typeof commands => Object.hasOwn(commands, word)

/** Runs what argv says and returns the exit code. `called` is argv[0] as the kernel passed it. */
export async function dispatch(called: string, argv: readonly string[]): Promise<number> {
  const env = process.env
  const go = goCommand(called)
  if (go !== null && isCommand(go.command))
    return run(commands[go.command], { argv, dialect: "go", program: go.program, env })
  const [word = "", ...rest] = argv
  if (word === "launch") return (await import("./launch.ts")).main(rest)
  if (word === "guardian") return (await import("./guardian.ts")).main(rest)
  if (word === "herald") return (await import("./herald.ts")).main()
  if (word === "proxy-worker") return (await import("./proxy-worker.ts")).main()
  if (isCommand(word))
    return run(commands[word], { argv: rest, dialect: "stolon", program: `stolon ${word}`, env })
  return other({ argv, dialect: "stolon", program: "stolon", env }, word)
}

/** `stolon`, `stolon --help`, `stolon help X`, or a slip of the fingers. */
async function other(invocation: Invocation, word: string): Promise<number> {
  const [{ help, unknownCommand }, { ctlAdvice, rootCommand, rootEntries }, { print, warn }] =
    await Promise.all([import("#cli/help.ts"), import("#cli/root.ts"), import("./front.ts")])
  const { argv, program } = invocation
  if (word === "--version")
    return run(commands.version, { ...invocation, argv: [], program: "stolon version" })
  if (word === "help" && argv[1] !== undefined && isCommand(argv[1]))
    return run(commands[argv[1]], {
      ...invocation,
      argv: [...argv.slice(2), "--help"],
      program: `stolon ${argv[1]}`,
    })
  if (word === "" || word === "help" || word === "--help" || word === "-h") {
    await print(help(rootCommand, program, rootEntries))
    return word === "" ? 2 : 0
  }
  const text = word.startsWith("-")
    ? `unknown flag ${word}; flags follow the command, as in stolon ctl ${word}`
    : unknownCommand(word, rootEntries, ctlAdvice(word))
  await warn(`stolon: ${text}\n`)
  return 2
}

if (import.meta.main) process.exit(await dispatch(process.argv0, process.argv.slice(2)))
