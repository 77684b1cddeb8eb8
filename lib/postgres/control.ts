/**
 * What pg_control says of a stopped instance, by way of PostgreSQL's own pg_controldata: the layout
 * of the file changes between major versions, its printed labels hardly do.
 *
 * The timeline is the highest that the instance is known to have written on. Just after a promotion
 * the last checkpoint still names the old one, and only "min recovery ending" the new (#644): a
 * primary that crashed at that moment must not look as if it had never left the old timeline.
 */
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { type LSN, parseLsn } from "#base/lsn.ts"
import { type Millis, millis } from "#base/brand.ts"
import type { Control } from "#model/local.ts"
import { isMissing } from "#system/files.ts"
import { outputOf } from "./output.ts"
import { type PostgresSettings, program } from "./settings.ts"

export interface ControlFacts extends Control {
  readonly segmentBytes: number
  /** What a standby must have at least, by the WAL that it has replayed (D-46). */
  readonly floors: ReadonlyMap<string, number>
}

/** pg_controldata's words for the parameters. */
const floorLabels: readonly (readonly [string, string])[] = [
  ["max_connections", "max_connections setting"],
  ["max_worker_processes", "max_worker_processes setting"],
  ["max_wal_senders", "max_wal_senders setting"],
  ["max_prepared_transactions", "max_prepared_xacts setting"],
  ["max_locks_per_transaction", "max_locks_per_xact setting"],
]

/**
 * Parses pg_controldata's output (LC_ALL=C). Null when the file's checksum is wrong: then nothing
 * in it means anything.
 */
export function parseControl(output: string): ControlFacts | null {
  if (/^WARNING: .*CRC/im.test(output)) return null
  const fields = new Map(
    output.split("\n").map((line): [string, string] => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon), line.slice(colon + 1).trim()]
    }),
  )
  const get = (name: string): string => {
    const value = fields.get(name)
    if (value === undefined) throw new Error(`pg_controldata does not tell ${JSON.stringify(name)}`)
    return value
  }
  const position = (name: string): LSN => {
    const found = parseLsn(get(name))
    if (found === null) throw new Error(`pg_controldata: ${name}: not a position: ${get(name)}`)
    return found
  }
  const timelines = ["Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline"]
  return {
    systemID: get("Database system identifier"),
    state: get("Database cluster state"),
    checkpoint: position("Latest checkpoint location"),
    timeline: Math.max(...timelines.map((name) => Number(get(name)))),
    minRecoveryEnd: position("Minimum recovery ending location"),
    checksums: get("Data page checksum version") !== "0",
    walLogHints: get("wal_log_hints setting") === "on",
    segmentBytes: Number(get("Bytes per WAL segment")),
    floors: new Map(
      floorLabels.flatMap(([name, label]): (readonly [string, number])[] => {
        const value = Number(fields.get(label) ?? Number.NaN)
        return Number.isSafeInteger(value) ? [[name, value]] : []
      }),
    ),
  }
}

/** pg_control of a data directory, asked now. */
export const readControl = async (
  settings: PostgresSettings,
  directory: string,
  signal: AbortSignal,
): Promise<ControlFacts | null> =>
  parseControl(await outputOf([program(settings, "pg_controldata"), "-D", directory], signal))

export type ControlReader = (
  directory: string,
  signal: AbortSignal,
  most?: Millis,
) => Promise<ControlFacts | null>

/**
 * The same, asked again only after the file has changed, and not more often than every `most`: a
 * running PostgreSQL changes it all the time. Null also when there is no such file.
 */
export function controlReader(settings: PostgresSettings): ControlReader {
  const { clock } = settings
  let known: {
    readonly key: string
    readonly facts: ControlFacts | null
    readonly at: number
  } | null = null
  return async (directory, signal, most = millis(0)) => {
    const key = await identity(join(directory, "global", "pg_control"))
    if (key === null) return null
    const at = clock.now().mono
    if (known === null || (known.key !== key && at - known.at >= most))
      known = { key, at, facts: await readControl(settings, directory, signal) }
    return known.facts
  }
}

async function identity(path: string): Promise<string | null> {
  try {
    const { mtimeMs, ctimeMs, ino, size } = await stat(path)
    return [path, ino, size, mtimeMs, ctimeMs].join(" ")
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
