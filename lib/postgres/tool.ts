/**
 * Running the PostgreSQL programs that write (initdb, pg_basebackup, pg_rewind): output to percent,
 * passwords by file, errors with the program's last words.
 *
 * A password is in a file that only we can read while the program runs (D-67); it is in no argument
 * and no environment. A crash leaves the file behind, so the next start removes such files.
 */
import { rm } from "node:fs/promises"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { run } from "#system/command.ts"
import { removeDurably, writeAtomic } from "#system/files.ts"
import { contentOf } from "./datadir.ts"
import { type Job, passPrefix, type Places, program } from "./settings.ts"

export interface Tool {
  readonly name: string
  readonly args: readonly string[]
  /** What it does, for progress and errors: `clone`. */
  readonly what: string
  /** For a connection that it makes; null for none. */
  readonly password?: string | null
  /** Lines of its output that show at once that it will fail. */
  readonly hopeless?: RegExp
  /** Keeps the locale of our environment, for initdb, which makes it the cluster's. */
  readonly ownLocale?: boolean
}

/** Runs one of PostgreSQL's programs to a good end, or throws. */
export async function runTool(tool: Tool, job: Job): Promise<void> {
  const { settings, places, signal, progress } = job
  const password = tool.password ?? null
  const passFile = password === null ? null : await writePassFile(places, password)
  const giveUp = new AbortController()
  const doomed: string[] = []
  let percent = -1
  const onLine = (line: string): void => {
    if (tool.hopeless?.test(line) === true) {
      doomed.push(line)
      giveUp.abort()
    }
    const found = percentOf(line)
    if (found === null || found === percent) return
    percent = found
    progress(`${tool.what} ${found}%`)
  }
  try {
    const outcome = await run(
      {
        argv: [program(settings, tool.name), ...tool.args],
        env: {
          // Without a password also none from the home directory.
          PGPASSFILE: passFile ?? join(places.root, `${passPrefix}none`),
          ...(tool.ownLocale === true ? {} : { LC_ALL: "C", LANGUAGE: "" }),
        },
        cwd: places.root,
        onLine,
      },
      AbortSignal.any([signal, giveUp.signal]),
    )
    if (outcome.code !== 0) throw new Error(`${tool.name} failed: ${lastWords(outcome.tail)}`)
  } catch (error) {
    signal.throwIfAborted()
    if (doomed.length > 0)
      throw new Error(`${tool.name} failed: ${doomed.join("; ")}`, { cause: error })
    throw error
  } finally {
    if (passFile !== null) await removeDurably(passFile)
  }
}

/** `  1234/5678 kB (21%), 0/1 tablespace` and `  1234/5678 kB (21%) copied`. */
export function percentOf(line: string): number | null {
  const match = /^\s*\d+\/\d+ kB \((\d+)%\)/.exec(line)
  return match === null ? null : Math.min(100, Number(match[1]))
}

/** Without the progress meter, and short enough for a log line. */
const lastWords = (tail: string): string =>
  tail
    .split("\n")
    .filter((line) => line.trim() !== "" && percentOf(line) === null)
    .slice(-8)
    .join("; ")

/** One line of a password file for every server: the program connects to one. */
export function passLine(password: string): string {
  if (/[\n\r\0]/.test(password))
    throw new Error("a password with a line break cannot be given to PostgreSQL's programs")
  return `*:*:*:*:${password.replace(/[\\:]/g, "\\$&")}\n`
}

/** A file in the keeper's directory with this content, readable by nobody else. */
export async function writeSecret(places: Places, content: string): Promise<string> {
  const path = join(places.root, `${passPrefix}${randomBytes(5).toString("hex")}`)
  await writeAtomic(path, content)
  return path
}

const writePassFile = (places: Places, password: string): Promise<string> =>
  writeSecret(places, passLine(password))

/** What a crash left behind. */
export async function removeSecrets(places: Places): Promise<void> {
  for (const name of await contentOf(places.root))
    if (name.startsWith(passPrefix)) await rm(join(places.root, name), { force: true })
}

/** A libpq connection string of these pairs; every value is quoted. */
export const conninfo = (pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .map(([key, value]) => `${key}='${value.replace(/['\\]/g, "\\$&")}'`)
    .join(" ")
