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
import { isMissing } from "#system/files.ts"
import { contentOf } from "./datadir.ts"
import { readHistory } from "./timeline.ts"

/** The first `bytes` of a segment, and an ancestor's file that ought to begin with the same. */
export interface Beginning {
  readonly name: string
  readonly ancestor: string
  readonly bytes: number
}

/**
 * `end` looks at the last bytes alone, for one who is in a hurry: a receiver writes in order. After
 * a loss of power there may be holes.
 */
export type Look = "end" | "whole"

/** Which beginnings are shorter than an ancestor's. */
export async function shortBeginnings(dataDir: string, look: Look): Promise<readonly Beginning[]> {
  const found: Beginning[] = []
  for (const each of await beginnings(dataDir))
    if (await compared(dataDir, each, (a, b) => isShort(a, b, each.bytes, look))) found.push(each)
  return found
}

/** Completes what `shortBeginnings` finds; returns the names. */
export async function completeBeginnings(dataDir: string): Promise<readonly string[]> {
  const done: string[] = []
  // the oldest timeline first, looked at one by one: the next may be its descendant
  for (const each of await beginnings(dataDir)) {
    const did = await compared(dataDir, each, async (newer, older) => {
      if (!(await isShort(newer, older, each.bytes, "whole"))) return false
      await fill(newer, older, each.bytes)
      return true
    })
    if (did) done.push(each.name)
  }
  return done
}

/** By timeline, and then the nearest ancestor first. */
async function beginnings(dataDir: string): Promise<readonly Beginning[]> {
  const wal = join(dataDir, "pg_wal")
  const names = (await contentOf(wal)).filter((name) => /^[0-9A-F]{24}$/.test(name))
  const present = new Set(names)
  const found: Beginning[] = []
  const firsts = names.filter((name, i) => name.slice(0, 8) !== names[i - 1]?.slice(0, 8))
  for (const any of firsts) {
    const timeline = Number.parseInt(any.slice(0, 8), 16)
    found.push(...(await beginningsOf(dataDir, timeline, join(wal, any), present)))
  }
  return found
}

async function beginningsOf(
  dataDir: string,
  timeline: number,
  any: string,
  present: ReadonlySet<string>,
): Promise<readonly Beginning[]> {
  const history = await readHistory(dataDir, timeline)
  const fork = history.at(-1)?.switchPoint
  const size = await sizeOf(any)
  if (fork === undefined || size === null) return []
  const segment = fork / size
  const name = segmentName(timeline, segment, size)
  if (!present.has(name)) return []
  return history.toReversed().flatMap(({ timelineID, switchPoint }): Beginning[] => {
    const ancestor = segmentName(timelineID, segment, size)
    const bytes = Number(switchPoint - segment * size)
    return bytes > 0 && present.has(ancestor) ? [{ name, ancestor, bytes }] : []
  })
}

/** A segment's file has its whole size from the beginning. */
async function sizeOf(path: string): Promise<bigint | null> {
  try {
    const { size } = await stat(path, { bigint: true })
    return size > 0n ? size : null
  } catch (error) {
    if (isMissing(error)) return null // used up meanwhile
    throw error
  }
}

/** As PostgreSQL names it. */
export function segmentName(timeline: number, segment: bigint, segmentBytes: bigint): string {
  const perFile = 0x1_0000_0000n / segmentBytes
  return [BigInt(timeline), segment / perFile, segment % perFile]
    .map((part) => part.toString(16).toUpperCase().padStart(8, "0"))
    .join("")
}

/** False also when one of the files is gone by now. */
async function compared(
  dataDir: string,
  { name, ancestor }: Beginning,
  work: (newer: FileHandle, older: FileHandle) => Promise<boolean>,
): Promise<boolean> {
  const path = (each: string): string => join(dataDir, "pg_wal", each)
  try {
    await using newer = await open(path(name), "r+")
    await using older = await open(path(ancestor), "r")
    return await work(newer, older)
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
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
