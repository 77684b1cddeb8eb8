/**
 * The commands of `stolon`, for help and for suggestions. The dispatcher (`cmd/stolon.ts`) knows
 * where each one is.
 */
import { nearest } from "#base/text.ts"
import { completionCommand } from "./completion.ts"
import { ctlTree } from "./ctl-tree.ts"
import { ctlCommand } from "./ctl.ts"
import { devCommand } from "./dev.ts"
import { type Command, command } from "./flag.ts"
import { generateCommand } from "./generate.ts"
import type { Entry } from "./help.ts"
import { keeperCommand } from "./keeper.ts"
import { proxyCommand } from "./proxy.ts"
import { sentinelCommand } from "./sentinel.ts"
import { versionCommand } from "./version.ts"

export const rootCommand: Command = command({
  name: "stolon",
  summary: "PostgreSQL high availability in one binary",
  about: [],
  prefix: null,
  flags: {},
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: false,
  examples: [
    { line: "stolon dev", doc: "try it: a whole cluster on this machine" },
    { line: "stolon ctl status", doc: "look at a cluster" },
  ],
})

const described: readonly Command[] = [
  keeperCommand,
  sentinelCommand,
  proxyCommand,
  ctlCommand,
  devCommand,
  generateCommand,
  completionCommand,
  versionCommand,
]
export const rootEntries: readonly Entry[] = described.map(({ name, summary }) => ({
  name,
  summary,
}))

/** Advice for a word that is no command but a subcommand of `ctl`; null: none. */
export function ctlAdvice(word: string): string | null {
  const names = ctlTree.children.map(({ command: { name } }) => name)
  const near = nearest(
    word,
    names.filter((name) => name !== "help" && name !== "version"),
  )
  return near === null ? null : `did you mean stolon ctl ${near}?`
}
