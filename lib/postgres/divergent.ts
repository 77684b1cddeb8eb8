/**
 * Before pg_rewind discards what this instance wrote and nobody else has, its WAL is copied to
 * `divergent-wal-<time>/` (N3), for a person who wants to know what was lost (pg_waldump).
 *
 * Real copies, never hard links: pg_rewind and PostgreSQL's own recycling overwrite segments in
 * place, which would change the linked file too. A rewind that failed half-way is tried again on
 * WAL that is no longer the original, so a save that is complete is never repeated for the same
 * fork. Three such folders are kept: one would let the second failover of a bad night destroy the
 * evidence of the first; without a bound they would fill the disk.
 */
import { constants } from "node:fs"
import { copyFile, mkdir, open, rename } from "node:fs/promises"
import { join } from "node:path"
import { formatLsn, type LSN } from "#base/lsn.ts"
import type { Step } from "#model/step.ts"
import { readIfPresent, syncDirectory, writeAtomic } from "#system/files.ts"
import { readControl } from "./control.ts"
import { contentOf, exists } from "./datadir.ts"
import { assertStopped } from "./directories.ts"
import { divergentPrefix, type Job, type Places, stamp } from "./settings.ts"
import { readHistory } from "./timeline.ts"
import { removeTree, syncFile } from "./tree.ts"

const kept = 3
/** Which fork a folder belongs to; written last, so it also says that the folder is complete. */
const originName = "ORIGIN"
const partName = "divergent.part"

export async function saveDivergentWal(
  { since }: Extract<Step, { kind: "save-divergent-wal" }>,
  job: Job,
): Promise<void> {
  const { settings, places, signal, progress } = job
  await assertStopped(job, signal)
  const control = await readControl(settings, places.data, signal)
  if (control === null) throw new Error(`pg_control of ${places.data} is damaged`)
  const origin = `${control.systemID} since ${formatLsn(since)}\n`
  const folders = await complete(places)
  if (folders.some((folder) => folder.origin === origin)) return
  const part = join(places.root, partName)
  await removeTree(part, signal)
  await mkdir(part, { mode: 0o700 })
  const history = await readHistory(places.data, control.timeline)
  const shared = history.filter(({ switchPoint }) => switchPoint <= since)
  const names = await divergentFiles(
    { wal: join(places.data, "pg_wal"), segmentBytes: control.segmentBytes },
    { since, without: new Set(shared.map(({ timelineID }) => timelineID)) },
  )
  let told = 0
  for (const [i, name] of names.entries()) {
    signal.throwIfAborted()
    await copyFile(join(places.data, "pg_wal", name), join(part, name), constants.COPYFILE_FICLONE)
    await syncFile(join(part, name))
    const tenths = Math.floor((10 * (i + 1)) / names.length)
    if (tenths > told) progress(`save WAL ${10 * tenths}%`)
    told = tenths
  }
  await writeAtomic(join(part, originName), origin)
  const name = `${divergentPrefix}${stamp(settings)}`
  await rename(part, join(places.root, name))
  await syncDirectory(places.root)
  const old = [...folders.map((folder) => folder.name), name].toSorted().slice(0, -kept)
  for (const each of old) await removeTree(join(places.root, each), signal)
}

async function complete(
  places: Places,
): Promise<readonly { readonly name: string; readonly origin: string }[]> {
  const found = []
  for (const name of await contentOf(places.root)) {
    if (!name.startsWith(divergentPrefix)) continue
    const origin = await readIfPresent(join(places.root, name, originName))
    if (origin !== null) found.push({ name, origin })
  }
  return found
}

export interface Fork {
  readonly since: LSN
  /**
   * Timelines that this instance had left by then. After many changes of the primary there is a
   * file of each for the same segment, and nothing in them that others have not.
   */
  readonly without: ReadonlySet<number>
}

/** Segments that may hold WAL from the fork on, and every history file. */
export async function divergentFiles(
  { wal, segmentBytes }: { readonly wal: string; readonly segmentBytes: number },
  { since, without }: Fork,
): Promise<readonly string[]> {
  const first = since / BigInt(segmentBytes)
  const found: string[] = []
  for (const name of await contentOf(wal)) {
    if (/^[0-9A-F]{8}\.history$/.test(name)) found.push(name)
    const number = segmentNumber(name, segmentBytes)
    if (number === null || number < first) continue
    if (without.has(Number.parseInt(name.slice(0, 8), 16))) continue
    if (await isWritten(join(wal, name), number * BigInt(segmentBytes))) found.push(name)
  }
  return found
}

/** The number of a segment, `.partial` ones included; null for other files. */
export function segmentNumber(name: string, segmentBytes: number): bigint | null {
  const match = /^[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})(?:\.partial)?$/.exec(name)
  if (match === null) return null
  const perFile = 0x1_0000_0000n / BigInt(segmentBytes)
  return BigInt(`0x${match[1] ?? "0"}`) * perFile + BigInt(`0x${match[2] ?? "0"}`)
}

/**
 * Segments made ahead are old ones renamed: their first page still has its old address, or none.
 */
async function isWritten(path: string, start: bigint): Promise<boolean> {
  if (!(await exists(path))) return false
  const file = await open(path)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(16), 0, 16, 0)
    return bytesRead === 16 && buffer.readBigUInt64LE(8) === start
  } finally {
    await file.close()
  }
}
