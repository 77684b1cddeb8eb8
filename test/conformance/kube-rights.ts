/**
 * The Roles that `docs/stores.md` tells people to apply: what is tested runs with exactly these
 * rights, so the page cannot name too few, and a right that is not named is not had.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"

export type Account = "keeper" | "proxy" | "sentinel" | "ctl"
export const accounts: readonly Account[] = ["keeper", "proxy", "sentinel", "ctl"]

const page = join(import.meta.dir, "../../docs/stores.md")

/** The rules of one component's Role. */
export function rightsOf(account: Account): readonly unknown[] {
  const text = readFileSync(page, "utf8")
  for (const [, block = ""] of text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm))
    for (const one of block.split(/^---$/m)) {
      const { kind, metadata, rules } = parsed(one)
      if (kind === "Role" && metadata?.name === `stolon-${account}` && rules !== undefined)
        return rules
    }
  throw new Error(`docs/stores.md has no Role stolon-${account}`)
}

interface Manifest {
  readonly kind?: string
  readonly metadata?: { readonly name?: string }
  readonly rules?: readonly unknown[]
}
const parsed = (text: string): Manifest => Bun.YAML.parse(text) as Manifest // our own page
