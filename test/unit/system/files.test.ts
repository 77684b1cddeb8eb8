/** State files are replaced whole or not at all. */
import { afterAll, expect, test } from "bun:test"
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  directorySize,
  privateDirectory,
  readIfPresent,
  removeDurably,
  writeAtomic,
} from "#system/files.ts"

const root = mkdtempSync(join(tmpdir(), "stolon-files-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const never = new AbortController().signal

test("writeAtomic() replaces the content, sets the mode and leaves nothing else behind", async () => {
  const directory = join(root, "atomic")
  mkdirSync(directory)
  const path = join(directory, "state")
  await writeAtomic(path, "one")
  await writeAtomic(path, "two", 0o644)
  expect(await readIfPresent(path)).toBe("two")
  expect(statSync(path).mode & 0o777).toBe(0o644)
  expect(readdirSync(directory)).toEqual(["state"])
})

test("writeAtomic() that fails leaves the old content and no temporary file", async () => {
  const directory = join(root, "failing")
  // a directory cannot be replaced by a file
  mkdirSync(join(directory, "state"), { recursive: true })
  expect(writeAtomic(join(directory, "state"), "x")).rejects.toThrow()
  await writeAtomic(join(directory, "state"), "x").catch(() => null)
  expect(readdirSync(directory)).toEqual(["state"])
})

test("readIfPresent() tells missing from unreadable", async () => {
  expect(await readIfPresent(join(root, "nothing"))).toBeNull()
  expect(readIfPresent(root)).rejects.toThrow()
})

test("removeDurably() removes, and is content when there is nothing", async () => {
  const path = join(root, "remove")
  writeFileSync(path, "")
  await removeDurably(path)
  await removeDurably(path)
  expect(await readIfPresent(path)).toBeNull()
})

test("privateDirectory() makes parents and tightens what exists", async () => {
  const path = join(root, "a", "b")
  await privateDirectory(path)
  chmodSync(path, 0o755)
  await privateDirectory(path)
  expect(statSync(path).mode & 0o777).toBe(0o700)
})

test("directorySize() adds up files below, follows no links, and takes a missing directory for empty", async () => {
  const path = join(root, "size")
  mkdirSync(join(path, "deep"), { recursive: true })
  writeFileSync(join(path, "one"), "x".repeat(10))
  writeFileSync(join(path, "deep", "two"), "x".repeat(20))
  symlinkSync("/usr", join(path, "link"))
  expect(await directorySize(path, never)).toBe(30)
  expect(await directorySize(join(root, "none"), never)).toBe(0)
})
