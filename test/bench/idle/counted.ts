/**
 * The executable with a counter in it (`counter.ts`). The commands are those of `cmd/stolon.ts`,
 * unchanged.
 */
import { lazily, run } from "#cli/citty.ts"
import { countTransactions } from "./counter.ts"

countTransactions()

const commands = {
  keeper: lazily({ name: "keeper" }, () => import("#cmd/keeper.ts")),
  sentinel: lazily({ name: "sentinel" }, () => import("#cmd/sentinel.ts")),
  proxy: lazily({ name: "proxy" }, () => import("#cmd/proxy.ts")),
  ctl: lazily({ name: "ctl" }, () => import("#cmd/ctl.ts")),
} as const
const isCommand = (word: string): word is keyof typeof commands => Object.hasOwn(commands, word)

async function dispatch(word: string, argv: readonly string[]): Promise<number> {
  if (word === "launch") return (await import("#cmd/launch.ts")).main(argv)
  if (word === "guardian") return (await import("#cmd/guardian.ts")).main(argv)
  if (word === "herald") return (await import("#cmd/herald.ts")).main()
  if (!isCommand(word)) return 2
  const program = `stolon ${word}`
  return run(commands[word], { argv, dialect: "stolon", program, env: process.env })
}
process.exit(await dispatch(process.argv[2] ?? "", process.argv.slice(3)))
