/**
 * Moving and removing directories, also where `postgres/` is a mount point (in a mount namespace of
 * our own).
 */
import { expect, test } from "bun:test"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { removeUnusedTablespaces } from "#postgres/directories.ts"
import { type Places, placesBelow } from "#postgres/settings.ts"
import { moveAside, moveIn, removeTree, settleMove } from "#postgres/tree.ts"

const never = new AbortController().signal

function root(): { readonly places: Places } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "stolon-tree-"))
  return {
    places: placesBelow(path),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

function fill(directory: string, word: string): void {
  mkdirSync(join(directory, "global"), { recursive: true })
  writeFileSync(join(directory, "global", "pg_control"), word)
  writeFileSync(join(directory, "PG_VERSION"), word)
}

test("D-51 removeTree() unlinks what points outside and removes nothing there", async () => {
  using temp = root()
  using outside = root()
  const { data } = temp.places
  fill(data, "x")
  fill(outside.places.data, "theirs")
  symlinkSync(outside.places.data, join(data, "pg_wal"))
  await removeTree(data, never)
  expect(existsSync(data)).toBe(false)
  expect(readdirSync(outside.places.data).toSorted()).toEqual(["PG_VERSION", "global"])
  symlinkSync(outside.places.data, data)
  await removeTree(data, never)
  expect(existsSync(data)).toBe(false)
  expect(readdirSync(outside.places.data).toSorted()).toEqual(["PG_VERSION", "global"])
  await removeTree(data, never)
})

test("moveAside() and moveIn() rename, and moveIn() never overwrites", async () => {
  using temp = root()
  const { places } = temp
  fill(places.data, "old")
  fill(places.side, "new")
  await expect(moveIn(places, never)).rejects.toThrow("is in the way")
  expect(readFileSync(join(places.data, "PG_VERSION"), "utf8")).toBe("old")
  const aside = join(places.root, "postgres.aside-1")
  await moveAside(places, aside, never)
  await moveIn(places, never)
  expect(readFileSync(join(aside, "PG_VERSION"), "utf8")).toBe("old")
  expect(readFileSync(join(places.data, "PG_VERSION"), "utf8")).toBe("new")
  expect(readdirSync(places.root).toSorted()).toEqual(["postgres", "postgres.aside-1"])
})

test("settleMove() empties what a broken move left in postgres/, and nothing when there was none", async () => {
  using temp = root()
  const { places } = temp
  fill(places.data, "whole")
  await settleMove(places, never)
  expect(readFileSync(join(places.data, "PG_VERSION"), "utf8")).toBe("whole")
  // A kill in the middle of copying postgres.new/ into the mount point.
  fill(places.side, "copy")
  writeFileSync(places.move, '{"kind":"swap"}')
  await settleMove(places, never)
  expect(readdirSync(places.data)).toEqual([])
  expect(readFileSync(join(places.side, "PG_VERSION"), "utf8")).toBe("copy")
  expect(existsSync(places.move)).toBe(false)
})

test("a mount point keeps its place: the content moves out, and the copy's content in", () => {
  using temp = root()
  const { places } = temp
  mkdirSync(places.data)
  const script = join(import.meta.dir, "mounted.ts")
  const mount = `mount -t tmpfs stolon-test '${places.data}' && exec '${process.execPath}' '${script}' '${places.root}'`
  // Root needs only a mount namespace; others one of users as well.
  const unshare = process.getuid?.() === 0 ? ["unshare", "-m"] : ["unshare", "-Urm"]
  const child = Bun.spawnSync([...unshare, "sh", "-c", mount], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  expect(child.stderr.toString()).toBe("")
  expect(JSON.parse(child.stdout.toString())).toEqual({
    aside: { PG_VERSION: "old", control: "old" },
    emptied: [],
    swapped: { PG_VERSION: "new", control: "new" },
    left: ["postgres", "postgres.aside-1"],
    removed: [],
  })
})

test("a tablespace of ours stays while a link names it, also by where it was mounted before", async () => {
  using temp = root()
  const { places } = temp
  for (const name of ["here", "before", "nobodys"]) fill(join(places.tablespaces, name), name)
  mkdirSync(join(places.data, "pg_tblspc"), { recursive: true })
  symlinkSync(join(places.tablespaces, "here"), join(places.data, "pg_tblspc", "16385"))
  symlinkSync("/mnt/old/tablespaces/before", join(places.data, "pg_tblspc", "16386"))
  await removeUnusedTablespaces(places, never)
  expect(readdirSync(places.tablespaces).toSorted()).toEqual(["before", "here"])
})
