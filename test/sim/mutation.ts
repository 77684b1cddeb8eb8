/**
 * Bugs planted by hand, to see that the simulator finds them: one text of one source file is
 * replaced while it is loaded. The sources stay as they are; a text that is no longer there fails
 * loudly, so that a mutation never tests nothing.
 */
import { resolve } from "node:path"
import { plugin } from "bun"

export interface Mutation {
  readonly file: string
  readonly find: string
  readonly put: string
  /** Which promise is expected to break, as the start of the checker's words. */
  readonly breaks: readonly string[]
  /** The deeds that bring it to light; any others only cost time. */
  readonly focus: readonly string[]
}

const root = resolve(import.meta.dir, "../..")

/** Loads the patched file instead of the real one. Must be called before anything imports it. */
export function plant({ file, find, put }: Pick<Mutation, "file" | "find" | "put">): void {
  const path = resolve(root, file)
  plugin({
    name: `mutation of ${file}`,
    setup(build) {
      build.onLoad({ filter: new RegExp(`${file.replaceAll(/[.]/g, "\\.")}$`) }, async (args) => {
        const source = await Bun.file(args.path).text()
        if (args.path !== path) return { contents: source, loader: "ts" }
        const parts = source.split(find)
        if (parts.length !== 2)
          throw new Error(
            `${file} holds ${parts.length - 1} times what the mutation replaces: ${find}`,
          )
        return { contents: parts.join(put), loader: "ts" }
      })
    },
  })
}
