/**
 * The generated configuration as it lies in the data directory, for comparison with what ought to
 * be there. Reads only.
 *
 * A file that is missing makes the whole `null`; so does one that is a link or no file, because
 * writing it anew is then due.
 */
import { lstat } from "node:fs/promises"
import { join } from "node:path"
import type { ConfigFiles } from "#model/local.ts"
import { isMissing, readIfPresent } from "#system/files.ts"
import { exists } from "./datadir.ts"

export const confName = "postgresql.conf"
export const hbaName = "pg_hba.conf"
export const autoName = "postgresql.auto.conf"
export const temporaryName = "stolon-temp-postgresql.conf"
export const signalNames = { standby: "standby.signal", recovery: "recovery.signal" } as const

export async function readConfigFiles(directory: string): Promise<ConfigFiles | null> {
  const conf = await readPlain(join(directory, confName))
  const hba = await readPlain(join(directory, hbaName))
  if (conf === null || hba === null) return null
  return { conf, hba, signal: await readSignal(directory) }
}

/** PostgreSQL, finding both, goes by standby.signal. */
export async function readSignal(directory: string): Promise<ConfigFiles["signal"]> {
  if (await exists(join(directory, signalNames.standby))) return "standby"
  return (await exists(join(directory, signalNames.recovery))) ? "recovery" : "none"
}

async function readPlain(path: string): Promise<string | null> {
  try {
    return (await lstat(path)).isFile() ? await readIfPresent(path) : null
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
