/** The lock on a data directory against real second processes, of other languages too. */
import { expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { takeLock } from "#system/lock.ts"

const entry = new URL("entry.ts", import.meta.url).pathname

function temp(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "stolon-lock-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

const second = (path: string) => {
  const child = Bun.spawnSync([process.execPath, entry, "lock", path], { stdin: "ignore" })
  return { code: child.exitCode, said: child.stdout.toString().trim() }
}

test("takeLock() keeps a second process out until it is released", () => {
  using directory = temp()
  const path = join(directory.path, "lock")
  const lock = takeLock(path)
  expect(second(path)).toEqual({
    code: 3,
    said: `LockError: cannot lock "${path}": fcntl: resource temporarily unavailable`,
  })
  lock.close()
  expect(second(path)).toEqual({ code: 0, said: "locked" })
})

test("takeLock() gets the lock of a process that was killed", async () => {
  using directory = temp()
  const path = join(directory.path, "lock")
  const holder = Bun.spawn([process.execPath, entry, "lock", path], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  await holder.stdout.getReader().read()
  expect(() => takeLock(path)).toThrow("resource temporarily unavailable")
  holder.kill("SIGKILL")
  await holder.exited
  takeLock(path).close()
})

test("takeLock() excludes a process that locks as Go and Python do, and is excluded by it", async () => {
  using directory = temp()
  const path = join(directory.path, "lock")
  const program =
    "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB); print('locked',flush=True); sys.stdin.read()"
  const python = Bun.which("python3")
  if (python === null) return // an extra look at the same rule; the tests above need nothing
  const lock = takeLock(path)
  expect(Bun.spawnSync([python, "-c", program, path], { stdin: "ignore" }).exitCode).toBe(1)
  lock.close()
  const other = Bun.spawn([python, "-c", program, path], { stdio: ["pipe", "pipe", "ignore"] })
  await other.stdout.getReader().read()
  expect(() => takeLock(path)).toThrow("resource temporarily unavailable")
  other.kill("SIGKILL")
  await other.exited
})

test("takeLock() says which file it could not open and why", () => {
  expect(() => takeLock("/nonexistent/lock")).toThrow(/cannot lock "\/nonexistent\/lock": ENOENT/)
})
