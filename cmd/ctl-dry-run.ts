/**
 * `--dry-run`: the change is computed on the cluster data as they are and shown, and nothing is
 * written. Whatever would refuse the change refuses here, too.
 */
import type { Flags } from "#cli/flag.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type Change, unusable } from "#ctl/edit.ts"
import { inMotion } from "#ctl/migrate.ts"
import { dataDiff } from "#ctl/diff.ts"
import { Failure, type Session, absent } from "./ctl-session.ts"
import { print, warn } from "./front.ts"

/** A flag that some commands have; the go dialect has it nowhere. */
export function isDryRun<F extends Flags>({ values }: Session<F>): boolean {
  const all: Readonly<Record<string, unknown>> = values
  return all["dryRun"] === true
}

const title = "would write:\n"

export async function preview<F extends Flags>(it: Session<F>, wanted: Change): Promise<void> {
  const reading = await (await it.store()).read(it.signal)
  if (reading.kind === "absent") throw new Failure(absent(it.manner, it.choice))
  const broken =
    inMotion(reading.data) ?? (wanted.repairs ? null : unusable(reading.data, it.manner))
  if (broken !== null) throw new Failure(broken)
  const edited = wanted.edit(reading.data)
  if (edited.kind === "refused") throw new Failure(edited.message, edited.exit)
  if (edited.kind === "unchanged") return warn(`${edited.message}\n`)
  await showChange(reading.data, edited.data)
}

/** For commands that write a whole document. */
export async function showChange(before: ClusterData | null, after: ClusterData): Promise<void> {
  const lines = dataDiff(before, after)
  await print(lines === "" ? "nothing would change\n" : `${title}${lines}`)
}
