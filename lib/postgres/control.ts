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
import type { Control } from "#model/local.ts"
import { isMissing } from "#system/files.ts"
import { outputOf } from "./output.ts"
import { type PostgresSettings, program } from "./settings.ts"

export interface ControlFacts extends Control {
  readonly segmentBytes: number
}

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
  }
}

/** pg_control of a data directory, asked now. */
export const readControl = async (
  settings: PostgresSettings,
  directory: string,
  signal: AbortSignal,
): Promise<ControlFacts | null> =>
  parseControl(await outputOf([program(settings, "pg_controldata"), "-D", directory], signal))

/** The same, asked again only after the file has changed. Null also when there is no such file. */
export function controlReader(
  settings: PostgresSettings,
): (directory: string, signal: AbortSignal) => Promise<Control | null> {
  let known: { readonly key: string; readonly control: Control | null } | null = null
  return async (directory, signal) => {
    const key = await identity(join(directory, "global", "pg_control"))
    if (key === null) return null
    if (known?.key !== key) known = { key, control: await ask(settings, directory, signal) }
    return known.control
  }
}

async function ask(
  settings: PostgresSettings,
  directory: string,
  signal: AbortSignal,
): Promise<Control | null> {
  const facts = await readControl(settings, directory, signal)
  if (facts === null) return null
  const { segmentBytes: _, ...control } = facts
  return control
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
