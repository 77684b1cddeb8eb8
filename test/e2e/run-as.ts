/**
 * PostgreSQL refuses root, and a keeper must be the same user as its PostgreSQL; CI runs as root.
 * So a test file that needs both is run a second time, as user `postgres`, by the same `bun test`:
 *
 *   if (asPostgres(import.meta.path)) { test(…) … }
 *
 * As an unprivileged user (also when somebody starts the whole suite under setpriv) this is simply
 * true. As root it registers one test that runs the file under setpriv and fails with its output.
 * Needed: setpriv and the user. A checkout that others may not read (below /root, say) is copied to
 * /tmp for the run, node_modules included.
 */
import { expect, test } from "bun:test"
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join, relative } from "node:path"

const root = join(import.meta.dir, "..", "..")

/** Whether to register the file's tests in this process. */
export function asPostgres(file: string, ms = 180_000): boolean {
  if (process.getuid?.() !== 0) return true
  test(`${basename(file)} passes as user postgres`, () => rerun(file), ms)
  return false
}

async function rerun(file: string): Promise<void> {
  const { uid, gid } = postgresUser()
  const home = mkdtempSync(join(tmpdir(), "stolon-home-"))
  chownSync(home, uid, gid)
  try {
    const setpriv = ["setpriv", "--reuid", `${uid}`, "--regid", `${gid}`, "--clear-groups", "--"]
    const readable = Bun.spawnSync([...setpriv, "test", "-r", file]).exitCode === 0
    const checkout = readable ? root : copyCheckout(join(home, "checkout"), `${uid}:${gid}`)
    const seen = (path: string): string =>
      path.startsWith(`${root}/`) ? join(checkout, relative(root, path)) : path
    const child = Bun.spawn([...setpriv, seen(process.execPath), "test", seen(file)], {
      cwd: checkout,
      env: { ...process.env, HOME: home, USER: "postgres", TMPDIR: tmpdir() },
      stdio: ["ignore", "pipe", "pipe"],
    })
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ])
    if (child.exitCode !== 0) throw new Error(`${out}\n${err}`)
    expect(`${out}\n${err}`).toMatch(/^\s*[1-9]\d* pass$/m) // a file without tests would pass too
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** What the tests of a file need, for a user who may not read the original. */
function copyCheckout(to: string, owner: string): string {
  mkdirSync(to)
  const names = ["cmd", "lib", "test", "node_modules", "package.json", "tsconfig.json"]
  for (const argv of [
    ["cp", "-a", ...names.map((name) => join(root, name)), to],
    ["chown", "-R", owner, to],
  ])
    expect(Bun.spawnSync(argv, { stderr: "inherit" }).exitCode).toBe(0)
  return to
}

/** Of the package's user, from /etc/passwd. */
export function postgresUser(): { readonly uid: number; readonly gid: number } {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((each) => each.startsWith("postgres:"))
  const [, , uid, gid] = line?.split(":") ?? []
  if (uid === undefined || gid === undefined)
    throw new Error("there is no user postgres: install PostgreSQL")
  return { uid: Number(uid), gid: Number(gid) }
}
