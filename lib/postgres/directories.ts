/**
 * Steps that create, rename and remove data directories (N3). The plan decides; what is checked
 * here once more is what must never happen whatever a plan says: nothing is done to a directory in
 * which PostgreSQL runs, and `postgres/` is removed only while a mark says that it holds nothing
 * that anybody needs (N4).
 *
 * Removal never follows a link out of the keeper's directory. A tablespace that lies where an
 * operator put it is left there; one that we copied to `tablespaces/` is removed when no data
 * directory links to it any more.
 */
import { readlink } from "node:fs/promises"
import { basename, join } from "node:path"
import type { Step } from "#model/step.ts"
import { syncDirectory } from "#system/files.ts"
import { contentOf, exists } from "./datadir.ts"
import { asidePrefix, type Context, type Job, type Places, stamp } from "./settings.ts"
import { readMark } from "./state.ts"
import { moveAside, moveIn, removeTree, settleMove } from "./tree.ts"

type Of<K> = Extract<Step, { kind: K }>

/** Throws while anything of PostgreSQL is alive. */
export async function assertStopped(
  { supervisor, places }: Context,
  signal: AbortSignal,
): Promise<void> {
  const state = await supervisor.state(signal)
  if (state.kind === "running")
    throw new Error(
      `PostgreSQL runs in ${places.data} (pid ${state.pid}); it has to be stopped first`,
    )
}

export async function discardSide(_: Of<"discard-side">, job: Job): Promise<void> {
  await removeTree(job.places.side, job.signal)
  await syncDirectory(job.places.root)
  await removeUnusedTablespaces(job.places, job.signal)
}

export async function discardData(_: Of<"discard-data">, job: Job): Promise<void> {
  const { places, signal } = job
  await assertStopped(job, signal)
  await settleMove(places, signal)
  await assertWorthless(places)
  await removeTree(places.data, signal)
  await syncDirectory(places.root)
  await removeUnusedTablespaces(places, signal)
}

/** Half initialised, or a copy whose original stands aside while the next copy waits. */
async function assertWorthless(places: Places): Promise<void> {
  if ((await contentOf(places.data)).length === 0) return
  const mark = await readMark(places)
  if (mark?.kind === "setup") return
  const asides = (await contentOf(places.root)).some((name) => name.startsWith(asidePrefix))
  if (mark?.kind === "copied" && asides && (await exists(places.side))) return
  throw new Error(`${places.data} is not marked as half done; it is not removed`)
}

export async function setAside(_: Of<"set-aside">, job: Job): Promise<void> {
  const { places, settings, signal } = job
  await assertStopped(job, signal)
  await settleMove(places, signal)
  if ((await contentOf(places.data)).length === 0) return
  const name = join(places.root, `${asidePrefix}${stamp(settings)}`)
  let aside = name
  for (let i = 1; await exists(aside); i++) aside = `${name}-${i}`
  await moveAside(places, aside, signal)
}

export async function swapIn(_: Of<"swap-in">, job: Job): Promise<void> {
  const { places, signal } = job
  await assertStopped(job, signal)
  await settleMove(places, signal)
  if (!(await exists(places.side))) {
    if ((await contentOf(places.data)).length > 0) return // done before, and the answer was lost
    throw new Error(`${places.side} is missing: there is nothing to swap in`)
  }
  await moveIn(places, signal)
}

export async function removeAsides({ names }: Of<"remove-asides">, job: Job): Promise<void> {
  const { places, signal } = job
  for (const name of names) {
    if (!name.startsWith(asidePrefix) || basename(name) !== name)
      throw new Error(`not the name of a directory set aside: ${JSON.stringify(name)}`)
    await removeTree(join(places.root, name), signal)
  }
  await syncDirectory(places.root)
  await removeUnusedTablespaces(places, signal)
}

/** What lies in `tablespaces/` and is linked from no data directory, neither used nor set aside. */
export async function removeUnusedTablespaces(places: Places, signal: AbortSignal): Promise<void> {
  const all = await contentOf(places.tablespaces)
  if (all.length === 0) return
  const used = new Set<string>()
  for (const name of await contentOf(places.root)) {
    if (!name.startsWith("postgres")) continue
    const links = join(places.root, name, "pg_tblspc")
    for (const oid of await contentOf(links)) {
      const target = await readlink(join(links, oid)).catch(() => "") // a directory: in place
      // by name alone: a link may name our directory by where it was mounted before
      for (const part of target.split("/")) used.add(part)
    }
  }
  for (const name of all)
    if (!used.has(name)) await removeTree(join(places.tablespaces, name), signal)
}
