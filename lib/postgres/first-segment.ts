/**
 * A receiver begins a timeline at the start of the segment in which it forked, as a file of its
 * own. Until that has come to the fork it is shorter than the old timeline's file, and PostgreSQL
 * reads it first all the same: promoted it panics, started it does not become consistent.
 *
 * Up to the fork both are the same by the meaning of a timeline. So what is missing is written in
 * from the older one, over zeros only; broken off it is done again, with the same bytes. Nothing is
 * renamed: PostgreSQL remembers how far the file was received, and panics when it is missing.
 *
 * The caller sees to it that PostgreSQL does not run, or receives nothing any more: a segment that
 * is used up becomes another one under our hands.
 */
import { type FileHandle, open, stat } from "node:fs/promises"
import { join } from "node:path"
import type { TimelineHistory } from "#model/cluster.ts"
import { isMissing } from "#system/files.ts"
import { contentOf } from "./datadir.ts"
import { readHistory } from "./timeline.ts"

/** The first segment of a timeline, and what ought to begin like it. */
export interface Beginning {
  readonly name: string
  /** The nearest first: an ancestor's file, and how many of its bytes are in both. */
  readonly ancestors: readonly { readonly name: string; readonly bytes: number }[]
}

/**
 * `end` looks at the last bytes alone, for one who is in a hurry: a receiver writes in order. After
 * a loss of power there may be holes.
 */
export type Look = "end" | "whole"

/** Names of those that are shorter than an ancestor's. */
export async function shortBeginnings(dataDir: string, look: Look): Promise<readonly string[]> {
  const found: string[] = []
  for (const each of await beginnings(dataDir)) {
    const short = await along(dataDir, each, (a, b, bytes) => isShort(a, b, bytes, look))
    if (short) found.push(each.name)
  }
  return found
}

/** Completes what `shortBeginnings` finds; returns the names. */
export async function completeBeginnings(dataDir: string): Promise<readonly string[]> {
  const done: string[] = []
  for (const each of await beginnings(dataDir)) {
    const did = await along(dataDir, each, async (newer, older, bytes) => {
      if (!(await isShort(newer, older, bytes, "whole"))) return false
      await fill(newer, older, bytes)
      return true
    })
    if (did) done.push(each.name)
  }
  return done
}

/**
 * Those that PostgreSQL would read: of all timelines that lead to the same last one it reads the
 * newest that has a file for a segment. After many changes of the primary within one segment there
 * are as many files for it, and only one of them counts.
 */
async function beginnings(dataDir: string): Promise<readonly Beginning[]> {
  const wal = join(dataDir, "pg_wal")
  const names = (await contentOf(wal)).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted()
  const present = new Set(names)
  const histories = new Map<number, readonly TimelineHistory[]>()
  for (const name of names) {
    const timeline = timelineOf(name)
    if (!histories.has(timeline)) histories.set(timeline, await readHistory(dataDir, timeline))
  }
  const size = await sizeOf(wal, names)
  const inherited = new Set([...histories.values()].flat().map(({ timelineID }) => timelineID))
  const found = new Map<string, Beginning>()
  for (const last of [...histories.keys()].filter((timeline) => !inherited.has(timeline))) {
    const older = (histories.get(last) ?? []).map(({ timelineID }) => timelineID).toReversed()
    const segments = new Set<bigint>()
    for (const timeline of [last, ...older]) {
      const history = histories.get(timeline) ?? []
      const fork = history.at(-1)?.switchPoint
      if (fork === undefined || size === 0n) continue
      const segment = fork / size
      const name = segmentName(timeline, segment, size)
      if (!present.has(name) || segments.has(segment)) continue
      segments.add(segment)
      found.set(name, { name, ancestors: ancestorsOf(history, segment, size, present) })
    }
  }
  return [...found.values()]
}

const timelineOf = (name: string): number => Number.parseInt(name.slice(0, 8), 16)

const ancestorsOf = (
  history: readonly TimelineHistory[],
  segment: bigint,
  size: bigint,
  present: ReadonlySet<string>,
): Beginning["ancestors"] =>
  history.toReversed().flatMap(({ timelineID, switchPoint }) => {
    const name = segmentName(timelineID, segment, size)
    const bytes = Number(switchPoint - segment * size)
    return bytes > 0 && present.has(name) ? [{ name, bytes }] : []
  })

/** A segment's file has its whole size from the beginning; 0 without any. */
async function sizeOf(wal: string, names: readonly string[]): Promise<bigint> {
  for (const name of names)
    try {
      const { size } = await stat(join(wal, name), { bigint: true })
      if (size > 0n) return size
    } catch (error) {
      if (!isMissing(error)) throw error // else used up meanwhile
    }
  return 0n
}

/** As PostgreSQL names it. */
export function segmentName(timeline: number, segment: bigint, segmentBytes: bigint): string {
  const perFile = 0x1_0000_0000n / segmentBytes
  return [BigInt(timeline), segment / perFile, segment % perFile]
    .map((part) => part.toString(16).toUpperCase().padStart(8, "0"))
    .join("")
}

/**
 * Compares with one ancestor after the other until nothing can be missing any more; an ancestor's
 * file may lack something itself. A file that is gone by now is passed over.
 */
async function along(
  dataDir: string,
  { name, ancestors }: Beginning,
  compare: (newer: FileHandle, older: FileHandle, bytes: number) => Promise<boolean>,
): Promise<boolean> {
  const path = (each: string): string => join(dataDir, "pg_wal", each)
  const [nearest] = ancestors
  let did = false
  for (const { name: ancestor, bytes } of ancestors)
    try {
      await using newer = await open(path(name), "r+")
      await using older = await open(path(ancestor), "r")
      const differs = await compare(newer, older, bytes)
      did ||= differs
      if (!differs && nearest !== undefined && (await isFull(newer, nearest.bytes))) break
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  return did
}

const pageBytes = 8_192
const chunkBytes = 1 << 20
const zeros = Buffer.alloc(pageBytes)

/** It has zeros where the older one has something, and differs nowhere else. */
async function isShort(
  newer: FileHandle,
  older: FileHandle,
  bytes: number,
  look: Look,
): Promise<boolean> {
  if (look === "end") {
    const last = Math.min(pageBytes, bytes)
    const [a, b] = await both(newer, older, bytes - last, last)
    if (a.equals(b) && !isZero(a)) return false
  }
  let short = false
  for (let at = 0; at < bytes; at += chunkBytes) {
    const [a, b] = await both(newer, older, at, Math.min(chunkBytes, bytes - at))
    if (a.equals(b)) continue
    if (a.length !== b.length) return false // no segment of PostgreSQL's
    for (let page = 0; page < a.length; page += pageBytes)
      if (!lacksOnly(a.subarray(page, page + pageBytes), b.subarray(page, page + pageBytes)))
        return false
    short = true
  }
  return short
}

/** Each page has something, and so has the end; pages of WAL begin with a header. */
async function isFull(file: FileHandle, bytes: number): Promise<boolean> {
  for (let at = 0; at < bytes; at += chunkBytes) {
    const chunk = await readAt(file, at, Math.min(chunkBytes, bytes - at))
    for (let page = 0; page < chunk.length; page += pageBytes)
      if (isZero(chunk.subarray(page, page + pageBytes))) return false
  }
  const last = Math.min(lastBytes, bytes)
  return !isZero(await readAt(file, bytes - last, last))
}
/** What PostgreSQL aligns records to. */
const lastBytes = 8

const isZero = (page: Buffer): boolean => page.equals(zeros.subarray(0, page.length))

const lacksOnly = (a: Buffer, b: Buffer): boolean =>
  a.equals(b) || isZero(a) || a.every((byte, i) => byte === 0 || byte === b[i])

async function fill(newer: FileHandle, older: FileHandle, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += chunkBytes) {
    const [a, b] = await both(newer, older, at, Math.min(chunkBytes, bytes - at))
    if (!a.equals(b)) await newer.write(b, 0, b.length, at)
  }
  await newer.sync()
}

async function both(
  newer: FileHandle,
  older: FileHandle,
  at: number,
  length: number,
): Promise<readonly [Buffer, Buffer]> {
  return [await readAt(newer, at, length), await readAt(older, at, length)]
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}
