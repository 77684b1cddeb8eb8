/**
 * The version of the installed PostgreSQL programs. Asked anew only when the file changed (an
 * upgrade below a running keeper): Go stolon forked `postgres -V` several times a loop (D-50).
 */
import { stat } from "node:fs/promises"
import type { BinaryVersion } from "#model/cluster.ts"
import { outputOf } from "./output.ts"
import { type PostgresSettings, program } from "./settings.ts"

/**
 * Parses `postgres (PostgreSQL) 15.4 (Debian 15.4-1)`, `… 17beta1`, `… 18devel`. Throws for
 * anything else.
 */
export function parseVersion(output: string): BinaryVersion {
  const match = /\(PostgreSQL\) (\d+)(?:\.(\d+))?/.exec(output)
  if (match === null) throw new Error(`not a PostgreSQL version: ${JSON.stringify(output.trim())}`)
  return { Maj: Number(match[1]), Min: Number(match[2] ?? "0") }
}

/** A function that knows the version, and asks again when the program was replaced. */
export function versionReader(
  settings: PostgresSettings,
): (signal: AbortSignal) => Promise<BinaryVersion> {
  let known: { readonly key: string; readonly version: BinaryVersion } | null = null
  return async (signal) => {
    const path = program(settings, "postgres")
    const { mtimeMs, ino } = await stat(path)
    const key = `${path} ${ino} ${mtimeMs}`
    if (known?.key !== key)
      known = { key, version: parseVersion(await outputOf([path, "-V"], signal)) }
    return known.version
  }
}
