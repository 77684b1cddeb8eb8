/**
 * Steps that write what PostgreSQL reads at its start: configuration, pg_hba.conf, signal files,
 * and the link that makes ALTER SYSTEM fail (reference 4.1, 4.5). Each file is replaced whole and
 * durably.
 *
 * The order keeps a crash harmless: a signal file that makes a standby is there before anything
 * else changes, and is taken away last. A standby's signal file is never taken away while
 * pg_control says that the directory is in recovery: it would come up as a second primary on the
 * old one's timeline. Promotion takes it away, under a new timeline.
 */
import { readlink, rename, symlink } from "node:fs/promises"
import { join } from "node:path"
import { type ConfigFiles, formerAutoConf } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { removeDurably, syncDirectory, writeAtomic } from "#system/files.ts"
import { readControl } from "./control.ts"
import { exists } from "./datadir.ts"
import { autoName, confName, hbaName, signalNames, temporaryName } from "./files.ts"
import type { Job } from "./settings.ts"
import { unlinkIfPresent } from "./tree.ts"

type Of<K> = Extract<Step, { kind: K }>

export async function writeConfig({ files }: Of<"write-config">, job: Job): Promise<void> {
  const { data } = job.places
  await addSignal(data, files.signal)
  await writeAtomic(join(data, confName), files.conf)
  await writeAtomic(join(data, hbaName), files.hba)
  await dropSignals(job, files.signal)
}

/**
 * Before a start with a temporary configuration: the instance's own postgresql.conf stays as it is.
 */
export async function prepare({ hba, signal }: Of<"prepare">, job: Job): Promise<void> {
  await addSignal(job.places.data, signal)
  await writeAtomic(join(job.places.data, hbaName), hba)
  await dropSignals(job, signal)
}

export async function addSignal(directory: string, signal: ConfigFiles["signal"]): Promise<void> {
  if (signal === "none" || (await exists(join(directory, signalNames[signal])))) return
  await writeAtomic(join(directory, signalNames[signal]), "")
}

async function dropSignals(job: Job, wanted: ConfigFiles["signal"]): Promise<void> {
  const { data } = job.places
  if (wanted !== "recovery") await removeDurably(join(data, signalNames.recovery))
  if (wanted === "standby") return
  if (wanted === "none" && (await exists(join(data, signalNames.standby))))
    await assertNoStandby(job)
  await removeDurably(join(data, signalNames.standby))
}

async function assertNoStandby({ settings, places, signal }: Job): Promise<void> {
  const control = await readControl(settings, places.data, signal)
  if (control === null || /recovery/.test(control.state))
    throw new Error(`${places.data} is a standby's: only a promotion makes a primary of it`)
}

/**
 * `postgresql.auto.conf` as a link to /dev/null. What an instance had there before it was ours is
 * kept beside, for the start that takes its parameters over.
 */
export async function blockAlterSystem(directory: string): Promise<void> {
  const path = join(directory, autoName)
  const present = await readlink(path).catch(() => null)
  if (present === "/dev/null") return
  if (present === null && (await exists(path))) await rename(path, join(directory, formerAutoConf))
  // Made beside and renamed: there is no moment without it.
  const temporary = `${path}.stolon`
  await unlinkIfPresent(temporary)
  await symlink("/dev/null", temporary)
  await rename(temporary, path)
  await syncDirectory(directory)
}

/** pg_rewind cannot handle the link. */
export const unblockAlterSystem = (directory: string): Promise<void> =>
  removeDurably(join(directory, autoName))

/**
 * The initialisation's own file, or its removal: a copy from a Go keeper brings the source's along.
 * Returns the arguments for it.
 */
export async function placeTemporary(
  directory: string,
  temporary: string | null,
): Promise<readonly string[]> {
  const path = join(directory, temporaryName)
  if (temporary === null) {
    await removeDurably(path)
    return []
  }
  await writeAtomic(path, temporary)
  return ["-c", `config_file=${path}`]
}
