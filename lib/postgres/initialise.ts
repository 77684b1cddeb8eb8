/**
 * Steps that fill `postgres.new/` without another PostgreSQL: initdb, and the operator's command
 * that brings a backup back (reference 4.6, 4.7). What an earlier attempt left there is removed
 * first; `postgres/` is never touched.
 */
import { chmod, mkdir } from "node:fs/promises"
import { type Millis, millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import { run } from "#system/command.ts"
import { removeDurably, syncDirectory } from "#system/files.ts"
import { contentOf } from "./datadir.ts"
import { type Account, type Job, passwordOf } from "./settings.ts"
import { runTool, writeSecret } from "./tool.ts"
import { removeTree, syncTree } from "./tree.ts"

type Of<K> = Extract<Step, { kind: K }>

export async function initdb({ config }: Of<"initdb">, job: Job): Promise<void> {
  const { settings, places, signal } = job
  const { superuser } = settings
  await removeTree(places.side, signal)
  const password = passwordOf(superuser)
  if (password !== null && /[\n\r\0]/.test(password))
    throw new Error("the superuser's password contains a line break; initdb reads one line")
  const passFile = password === null ? null : await writeSecret(places, `${password}\n`)
  const { Maj } = await job.version(signal)
  const wanted: readonly (readonly [string, string])[] = [
    ["--locale", config?.locale ?? ""],
    ["--encoding", config?.encoding ?? ""],
  ]
  try {
    await runTool(
      {
        name: "initdb",
        what: "initdb",
        ownLocale: true,
        args: [
          "-D",
          places.side,
          "-U",
          superuser.name,
          ...(passFile === null
            ? []
            : ["--pwfile", passFile, "-A", authentication(superuser, Maj)]),
          ...wanted.flatMap(([flag, value]) => (value === "" ? [] : [flag, value])),
          ...checksumFlags(config?.dataChecksums ?? false, Maj),
        ],
      },
      job,
    )
  } finally {
    if (passFile !== null) await removeDurably(passFile)
  }
  await syncDirectory(places.root)
}

/**
 * What initdb writes to pg_hba.conf, until ours replaces it. It also settles password_encryption,
 * so it must not be a step back from the version's default: the `md5` of our flags admits SCRAM
 * secrets too.
 */
const authentication = ({ method }: Account, major: number): string =>
  major >= 14 || method === "scram-sha-256" ? "scram-sha-256" : "md5"

/** Since 18 checksums are on unless refused (D-71). */
export const checksumFlags = (wanted: boolean, major: number): readonly string[] =>
  wanted ? ["--data-checksums"] : major >= 18 ? ["--no-data-checksums"] : []

/** `timeout` bounds the command; 0 does not, as with Go. */
export async function restore({ command, timeout }: Of<"restore">, job: Job): Promise<void> {
  const { places, signal } = job
  await removeTree(places.side, signal)
  await mkdir(places.side, { mode: 0o700 })
  await restoreCommand(expand(command, places.side), timeout, job)
  if ((await contentOf(places.side)).length === 0)
    throw new Error("the restore command succeeded but left the data directory (%d) empty")
  await chmod(places.side, 0o700) // PostgreSQL refuses others
  await syncTree(places.side, signal)
  await syncDirectory(places.root)
}

async function restoreCommand(script: string, timeout: Millis, job: Job): Promise<void> {
  const { settings, places, signal, progress } = job
  const { clock } = settings
  progress("restore")
  let said = clock.now().mono
  /** Backup programs tell by lines how far they are. */
  const onLine = (line: string): void => {
    const now = clock.now().mono
    if (line.trim() === "" || now < said + progressEvery) return
    said = now
    progress(`restore: ${line.trim().slice(0, 120)}`)
  }
  const end = timeout > 0 ? clock.deadline(timeout, signal) : signal
  try {
    const command = { argv: ["/bin/sh", "-c", script], cwd: places.root, onLine } as const
    const outcome = await run(command, end)
    if (outcome.code === 0) return
    throw new Error(
      `the restore command failed (${outcome.code ?? outcome.signal}): ${outcome.tail}`,
    )
  } catch (error) {
    signal.throwIfAborted()
    if (!end.aborted) throw error
    const ms = Math.round(timeout)
    throw new Error(`the restore command was ended after syncTimeout (${ms} ms)`, { cause: error })
  }
}
const progressEvery = millis(1_000)

/** `%d` is the directory, `%%` a percent sign, anything else stays as it is. */
export const expand = (command: string, directory: string): string =>
  command.replace(/%([d%])/g, (_, letter: string) => (letter === "d" ? directory : "%"))
