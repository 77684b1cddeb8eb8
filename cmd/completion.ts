/** `stolon completion bash|zsh|fish`: prints the script (`lib/cli/completion.ts`). */
import { completion, completionCommand, shells } from "#cli/completion.ts"
import type { Invocation } from "#cli/invocation.ts"
import { begin, print, warn } from "./front.ts"

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(completionCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const [word = ""] = begun.positionals
  const shell = shells.find((name) => name === word)
  if (shell === undefined) {
    const found = word === "" ? "which shell?" : `${JSON.stringify(word)} is no shell known here:`
    await warn(`${invocation.program}: ${found} give ${shells.join(", ")}\n`)
    return 2
  }
  await print(completion(shell))
  return 0
}
