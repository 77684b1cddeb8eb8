/**
 * Where an end-to-end cluster lives: a directory below /tmp that belongs to the user PostgreSQL
 * runs as, and the way to start our executable as that user. The checkout may be closed to that
 * user (a clone below /root is), so the executable is entered through the file that already runs.
 */
import { existsSync } from "node:fs"
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type User, localUser } from "#cmd/dev-user.ts"

/** `STOLON_TEST_BINARY` names another one than `make build` makes. */
export const binary =
  process.env["STOLON_TEST_BINARY"] ?? new URL("../../dist/stolon", import.meta.url).pathname

/** Null when we are an ordinary user ourselves. */
export const user: User | null = process.getuid?.() === 0 ? localUser(process.env) : null

export const superuser = "stolon"
export const superuserPassword = "su-password"

export interface Place extends AsyncDisposable {
  readonly directory: string
  readonly superuserFile: string
  readonly replicationFile: string
}

export async function newPlace(prefix: string): Promise<Place> {
  if (!existsSync(binary)) throw new Error(`${binary} is not there; make build`)
  if (process.getuid?.() === 0 && user === null)
    throw new Error("PostgreSQL refuses root, and there is no user postgres to run it as")
  const directory = await mkdtemp(join(tmpdir(), prefix))
  await chmod(directory, 0o755)
  await own(directory)
  const file = async (name: string, content: string): Promise<string> => {
    const path = join(directory, name)
    await writeFile(path, content, { mode: 0o600 })
    await own(path)
    return path
  }
  return {
    directory,
    superuserFile: await file("su", superuserPassword),
    replicationFile: await file("repl", "repl-password"),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

/** Gives a path to the user that everything runs as. */
export async function own(path: string): Promise<void> {
  if (user !== null) await chown(path, user.uid, user.gid)
}

export async function ownedDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700, recursive: true })
  await own(path)
}

/**
 * Words that run the executable as that user with `argv`. It gets a SIGTERM when the test process
 * dies, so that no PostgreSQL is left behind.
 */
export const words = (argv: readonly string[]): readonly string[] =>
  wordsOf(["/proc/self/exe", ...argv])

/** The same for any other program. */
export const wordsOf = (command: readonly string[]): readonly string[] =>
  launched(
    user === null
      ? []
      : ["--uid", `${user.uid}`, "--gid", `${user.gid}`, "--groups", user.groups.join()],
    command,
  )

/** The same for a program that runs as whoever we are: one that lies in the checkout. */
export const wordsAsOurselves = (command: readonly string[]): readonly string[] =>
  launched([], command)

const launched = (who: readonly string[], command: readonly string[]): readonly string[] => [
  ...[binary, "launch", ...who, "--pdeathsig", "SIGTERM", "--parent", `${process.pid}`, "--"],
  ...command,
]

/** An environment without settings of the person who runs the tests. */
export const environment = (): Record<string, string> => {
  const kept = Object.entries(process.env).filter(
    ([name, value]) => value !== undefined && !/^(ST[A-Z]+_|PG|BUN_)/.test(name),
  )
  return { ...Object.fromEntries(kept.map(([name, value]) => [name, value ?? ""])), HOME: "/tmp" }
}
