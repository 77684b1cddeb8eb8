/**
 * `stolon version`: what this executable is. Loads next to nothing, so that it answers at once.
 */
import type { Invocation } from "#cli/invocation.ts"
import { versionLine } from "#cli/release.ts"
import { release } from "./release.ts"

export async function main(invocation: Invocation): Promise<number> {
  if (invocation.argv.length === 0) {
    console.log(versionLine(release).trimEnd()) // process.stdout costs 2 ms at the start
    return 0
  }
  const [{ begin, print }, { versionCommand }] = await Promise.all([
    import("./front.ts"),
    import("#cli/version.ts"),
  ])
  const begun = await begin(versionCommand, invocation)
  if (begun.kind === "exit") return begun.code
  await print(versionLine(release))
  return 0
}
