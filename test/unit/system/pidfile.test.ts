/**
 * Lock files of sockets that were left behind: PostgreSQL takes any process of its user with the
 * number for their owner. Removed only when nobody can be it.
 */
import { afterEach, beforeEach, expect, test } from "bun:test"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { clearStaleSocketLock } from "#system/pidfile.ts"
import { directoryOf } from "#system/process.ts"
import { until } from "./until.ts"

let place: string
let lock: string
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "stolon-lock-"))
  lock = join(place, ".s.PGSQL.5432.lock")
})
afterEach(() => rmSync(place, { recursive: true, force: true }))

const held = (pid: number, home: string): void =>
  writeFileSync(lock, `${pid}\n${home}\n1795376227\n5432\n${place}\n`)
const clear = (): Promise<boolean> => clearStaleSocketLock(place, "5432")

/** A program called postgres that stands in `home`, and never ends by itself. */
async function postgres(home: string): Promise<Bun.Subprocess> {
  const program = join(place, "postgres")
  copyFileSync("/bin/sleep", program)
  const child = Bun.spawn([program, "1000"], { cwd: home })
  await until("it to stand there", () => directoryOf(child.pid) === home)
  return child
}
async function end(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGKILL")
  await child.exited
}

test("a lock is removed when its number belongs to a process that is no PostgreSQL", async () => {
  held(process.pid, "/gone")
  expect(await clear()).toBe(true)
  expect(existsSync(lock)).toBe(false)
})

test("a lock is left to PostgreSQL when there is no process with its number", async () => {
  const child = Bun.spawn(["true"])
  await child.exited
  held(child.pid, "/gone")
  expect(await clear()).toBe(false)
  expect(existsSync(lock)).toBe(true)
})

test("a lock stays while its PostgreSQL lives, also when its directory has another name", async () => {
  const home = join(place, "data")
  mkdirSync(home)
  const child = await postgres(home)
  try {
    held(child.pid, home)
    expect(await clear()).toBe(false)
    symlinkSync(home, join(place, "alias"))
    held(child.pid, join(place, "alias"))
    expect(await clear()).toBe(false)
    held(child.pid, join(place, "gone"))
    expect(await clear()).toBe(false)
    held(child.pid, place)
    expect(await clear()).toBe(true)
  } finally {
    await end(child)
  }
})

test("what is no lock file, or none of a file system, is left alone", async () => {
  expect(await clear()).toBe(false)
  writeFileSync(lock, "rubbish\n")
  expect(await clear()).toBe(false)
  expect(await clearStaleSocketLock("", "5432")).toBe(false)
  expect(existsSync(lock)).toBe(true)
})
