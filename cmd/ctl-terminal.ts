/**
 * Questions to the person at the terminal, and documents from files or standard input.
 */
import { again, answer, question } from "#ctl/confirmation.ts"
import { fileTrouble } from "#system/errno.ts"
import { print } from "./front.ts"
import { Failure } from "./ctl-session.ts"

/**
 * Asks until the answer is `yes` (true) or `no` (false). Without an answer it fails: silence is not
 * consent.
 */
export async function confirm(go: boolean): Promise<boolean> {
  await using lines = inputLines()
  for (;;) {
    await print(question)
    const line = await lines.next()
    if (line === null)
      throw new Failure(
        go
          ? "error reading input: EOF"
          : "no answer on standard input; pass --yes to go on without asking",
      )
    const meant = answer(line)
    if (meant === "yes") return true
    if (meant === "no") {
      await print("exiting\n")
      return false
    }
    await print(again)
  }
}

/** For changes that scripts make, too: asks only where a person sits. */
export const agreed = async (values: {
  readonly yes: boolean
  readonly dryRun: boolean
}): Promise<boolean> =>
  values.yes || values.dryRun || !process.stdin.isTTY || (await confirm(false))

interface Lines extends AsyncDisposable {
  /**
   * The next line without its newline; null at the end. A last line without a newline does not
   * count.
   */
  next(): Promise<string | null>
}

function inputLines(): Lines {
  const reader = Bun.stdin.stream().getReader()
  const decoder = new TextDecoder()
  let rest = ""
  return {
    next: async () => {
      for (;;) {
        const end = rest.indexOf("\n")
        if (end >= 0) {
          const line = rest.slice(0, end)
          rest = rest.slice(end + 1)
          return line
        }
        const { done, value } = await reader.read()
        if (done) return null
        rest += decoder.decode(value, { stream: true })
      }
    },
    [Symbol.asyncDispose]: async () => {
      reader.releaseLock()
    },
  }
}

/** The text of a file, or of standard input for `-`. */
export async function readText(path: string): Promise<string> {
  try {
    return path === "-" ? await Bun.stdin.text() : await Bun.file(path).text()
  } catch (error) {
    throw new Failure(`cannot read file: ${fileTrouble("open", path, error)}`)
  }
}
