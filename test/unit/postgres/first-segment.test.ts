/**
 * The first segment of a timeline that is received half is completed from an ancestor's file, and
 * nothing else is written over. Segments of 64 KiB stand for those of PostgreSQL, which are larger.
 */
import { expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { completeBeginnings, segmentName, shortBeginnings } from "#postgres/first-segment.ts"

const size = 0x10000
/** The fork lies in the second segment. */
const forkAt = 0xc123
const fork = "0/1C123"

interface Wal extends Disposable {
  readonly data: string
  put(name: string, content: Buffer): void
  get(name: string): Buffer
  names(): readonly string[]
}

function wal(histories: Readonly<Record<string, readonly string[]>>): Wal {
  const data = mkdtempSync(join(tmpdir(), "stolon-segments-"))
  const path = (name: string): string => join(data, "pg_wal", name)
  mkdirSync(join(data, "pg_wal"))
  for (const [name, lines] of Object.entries(histories))
    writeFileSync(path(name), lines.map((line) => `${line}\tno reason\n`).join("\n"))
  return {
    data,
    put: (name, content) => writeFileSync(path(name), content),
    get: (name) => readFileSync(path(name)),
    names: () => readdirSync(join(data, "pg_wal")).toSorted(),
    [Symbol.dispose]: () => rmSync(data, { recursive: true, force: true }),
  }
}

/** WAL with `seed` in it from `from` to `to`, zeros elsewhere. */
function written(seed: number, to: number, from = 0): Buffer {
  const content = Buffer.alloc(size)
  for (let i = from; i < to; i++) content[i] = ((i * 31 + seed) % 255) + 1
  return content
}
const mixed = (a: Buffer, until: number, b: Buffer): Buffer =>
  Buffer.concat([a.subarray(0, until), b.subarray(until)])

const nameOf = (timeline: number): string => segmentName(timeline, 1n, BigInt(size))
const [one, two, three] = [nameOf(1), nameOf(2), nameOf(3)]
const parent = { "00000002.history": [`1\t${fork}`] }

test("completeBeginnings() writes in what an ancestor has before the fork, and nothing behind it", async () => {
  using it = wal(parent)
  const old = written(1, size)
  it.put(one, old)
  it.put(two, written(1, 0x5000))
  const before = it.names()
  expect(await shortBeginnings(it.data, "end")).toEqual([two])
  expect(await shortBeginnings(it.data, "whole")).toEqual([two])
  expect(await completeBeginnings(it.data)).toEqual([two])
  expect(it.get(two)).toEqual(mixed(old, forkAt, Buffer.alloc(size)))
  expect(it.get(one)).toEqual(old)
  expect(it.names()).toEqual(before)
  expect(await completeBeginnings(it.data)).toEqual([])
})

test("completeBeginnings() goes on with what it had half done, and fills the holes that a loss of power left", async () => {
  using it = wal(parent)
  const old = written(1, size)
  const begun = written(1, 0x9000)
  begun.fill(0, 0x2000, 0x4000)
  old.copy(begun, 0xa000, 0xa000, forkAt)
  it.put(one, old)
  it.put(two, begun)
  expect(await shortBeginnings(it.data, "end")).toEqual([]) // whoever is in a hurry believes the end
  expect(await completeBeginnings(it.data)).toEqual([two])
  expect(it.get(two)).toEqual(mixed(old, forkAt, Buffer.alloc(size)))
})

const left: readonly (readonly [string, Buffer, Buffer])[] = [
  ["it has come to the fork", written(1, size), written(1, forkAt)],
  ["it goes on behind it", written(1, size), mixed(written(1, size), forkAt, written(9, size))],
  ["it has more than the ancestor", written(1, 0x3000), written(1, 0x5000)],
  ["it has something else than the ancestor", written(1, size), written(2, 0x5000)],
  ["the ancestor is a torso", written(1, size).subarray(0, 0x8000), written(1, 0x5000)],
  ["the ancestor has nothing", Buffer.alloc(size), written(1, 0x5000)],
  [
    "each has what the other lacks",
    mixed(Buffer.alloc(size), 0x3000, written(1, size)),
    written(1, 0x2800),
  ],
]
for (const [why, older, newer] of left)
  test(`completeBeginnings() leaves a segment as it is when ${why}`, async () => {
    using it = wal(parent)
    it.put(one, older)
    it.put(two, newer)
    expect(await shortBeginnings(it.data, "end")).toEqual([])
    expect(await shortBeginnings(it.data, "whole")).toEqual([])
    expect(await completeBeginnings(it.data)).toEqual([])
    expect(it.get(two)).toEqual(newer)
  })

test("completeBeginnings() goes on to older timelines where the nearest lacks something, or is gone", async () => {
  using it = wal({ ...parent, "00000003.history": [`1\t${fork}`, "2\t0/1D000"] })
  const old = written(1, size)
  const own = mixed(old, forkAt, written(2, 0xd000))
  it.put(one, old)
  it.put(two, written(1, 0x5000))
  it.put(three, written(1, 0x2000))
  expect(await completeBeginnings(it.data)).toEqual([three])
  expect(it.get(two)).toEqual(written(1, 0x5000)) // nobody reads it any more
  const common = mixed(old, forkAt, Buffer.alloc(size))
  expect(it.get(three)).toEqual(common)
  it.put(two, own)
  expect(await completeBeginnings(it.data)).toEqual([three])
  expect(it.get(three)).toEqual(mixed(own, 0xd000, Buffer.alloc(size)))
  rmSync(join(it.data, "pg_wal", two))
  it.put(three, written(1, 0x2000))
  expect(await completeBeginnings(it.data)).toEqual([three])
  expect(it.get(three)).toEqual(common)
})

test("completeBeginnings() goes on also where both lack the same end", async () => {
  using it = wal({ ...parent, "00000003.history": [`1\t${fork}`, `2\t${fork}`] })
  const old = written(1, size)
  it.put(one, old)
  it.put(two, written(1, 0xc110))
  it.put(three, written(1, 0xc110))
  expect(await completeBeginnings(it.data)).toEqual([three])
  expect(it.get(three)).toEqual(mixed(old, forkAt, Buffer.alloc(size)))
})

test("completeBeginnings() completes the last timeline of each branch", async () => {
  using it = wal({ ...parent, "00000003.history": [`1\t${fork}`] })
  const old = written(1, size)
  it.put(one, old)
  it.put(two, written(1, 0x5000))
  it.put(three, written(1, 0x2000))
  expect(await completeBeginnings(it.data)).toEqual([two, three])
})

test("completeBeginnings() takes nothing from other segments, nor for a timeline without a history", async () => {
  using it = wal({})
  it.put(one, written(1, size))
  it.put(two, written(1, 0x5000))
  expect(await completeBeginnings(it.data)).toEqual([])
  using next = wal({ "00000002.history": ["1\t0/10000"] }) // forked where a segment begins
  next.put(one, written(1, size))
  next.put(two, written(1, 0x5000))
  expect(await completeBeginnings(next.data)).toEqual([])
  using none = wal(parent)
  expect(await completeBeginnings(join(none.data, "missing"))).toEqual([])
})

test("segmentName() names as PostgreSQL does", () => {
  const mib16 = 0x100_0000n
  expect(segmentName(3, 0x5e7_4368n / mib16, mib16)).toBe("000000030000000000000005")
  expect(segmentName(26, 0x2_ff00_0000n / mib16, mib16)).toBe("0000001A00000002000000FF")
  expect(segmentName(1, 0x1_4000_0000n / 0x4000_0000n, 0x4000_0000n)).toBe(
    "000000010000000100000001",
  )
})
