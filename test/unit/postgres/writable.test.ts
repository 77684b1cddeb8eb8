/** A disk that takes no more data is noticed, on real file systems (in a mount namespace). */
import { expect, test } from "bun:test"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { troubleOf } from "#postgres/writable.ts"

const place = mkdtempSync(join(tmpdir(), "stolon-disk-"))

test("D-43 a full disk and a read-only one are told from one that takes data", () => {
  const script = join(import.meta.dir, "disk-state.ts")
  // Root needs only a mount namespace; others one of users as well.
  const unshare = process.getuid?.() === 0 ? ["unshare", "-m"] : ["unshare", "-Urm"]
  const child = Bun.spawnSync([...unshare, process.execPath, script, place])
  expect(child.stderr.toString()).toBe("")
  expect(JSON.parse(child.stdout.toString())).toEqual([
    null,
    "no space left on the device",
    "the file system is read-only",
  ])
})

test("troubleOf() leaves nothing behind, and a directory that is gone is no trouble of the disk", async () => {
  expect(await troubleOf(place)).toBeNull()
  expect(readdirSync(place)).toEqual([])
  rmSync(place, { recursive: true })
  expect(await troubleOf(place)).toBeNull()
})
