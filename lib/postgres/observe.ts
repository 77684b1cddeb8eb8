/**
 * Builds `Local`: everything a keeper knows of its machine at the start of a tick, read once.
 * Changes nothing, but for finishing a directory move that a crash interrupted: half of one is not
 * a state that anybody should plan from.
 *
 * Facts are read in an order that errs on the safe side: the process first, then the files. A
 * PostgreSQL that ends in between is seen as a server that does not answer, and seen as ended at
 * the next look, which its end itself brings about.
 */
import { statfs } from "node:fs/promises"
import { join } from "node:path"
import { type Millis, millis } from "#base/brand.ts"
import type { DataDir, Local } from "#model/local.ts"
import { type ControlFacts, controlReader } from "./control.ts"
import { contentOf, exists, readDataDir, systemIdOf } from "./datadir.ts"
import { readConfigFiles } from "./files.ts"
import { fitnessReader } from "./fitness.ts"
import { observeServer } from "./server.ts"
import { asidePrefix, type Context } from "./settings.ts"
import { settleMove } from "./tree.ts"
import { writableReader } from "./writable.ts"
import {
  readCertificate,
  readDBState,
  readFencing,
  readHandled,
  readKeeperState,
  readMark,
  readPromise,
} from "./state.ts"

/** A function that looks; it remembers only answers that cost a process to get. */
export function observer(context: Context): (signal: AbortSignal) => Promise<Local> {
  const { settings, places, supervisor, sessions } = context
  const control = controlReader(settings)
  const fitness = fitnessReader(settings)
  const segments = segmentReader()
  const writable = writableReader(settings.clock)
  return async (signal) => {
    await settleMove(places, signal)
    const state = await supervisor.state(signal)
    const running = state.kind === "running"
    if (!running) sessions.close()
    const [keeper, db, mark, certificate, handled, fencing, promise] = await Promise.all([
      readKeeperState(places),
      readDBState(places),
      readMark(places),
      readCertificate(places),
      readHandled(places),
      readFencing(places),
      readPromise(places),
    ])
    const [files, binary, names, data, side] = await Promise.all([
      readConfigFiles(places.data),
      context.version(signal),
      contentOf(places.root),
      readDataDir(places.data, async (directory) => {
        if (running) return null
        const facts = await control(directory, signal)
        if (facts === null) return null
        const { segmentBytes: _, floors: __, ...rest } = facts
        return rest
      }),
      exists(places.side),
    ])
    return {
      keeper,
      db,
      mark,
      data,
      side,
      asides: await sameSystem(places.root, names, data),
      files,
      postmaster: running,
      asked: !running && context.exit()?.asked === true,
      server: running ? await observeServer(context, signal) : { kind: "down" },
      binary,
      certificate,
      handled,
      fencing,
      promise,
      unfit: await fitness({ directory: places.data, binary, running }, signal),
      floors: await floorsOf(data, running, (most) => control(places.data, signal, most)),
      walSegmentBytes: await segments(data, () => control(places.data, signal, floorsEvery)),
      unwritable: running && isPrimary(data) ? writable(places.data) : null,
      diskBytes: await sizeOf(join(places.data, "pg_wal")),
    }
  }
}

const isPrimary = (data: DataDir): boolean => data.kind === "initialized" && data.role === "master"

/** How often a running standby is asked: its pg_control changes with every restart point. */
const floorsEvery = millis(2_000)

/** Asked once of each instance: it never changes. */
function segmentReader(): (
  data: DataDir,
  control: () => Promise<ControlFacts | null>,
) => Promise<number | null> {
  let known: { readonly systemID: string; readonly bytes: number } | null = null
  return async (data, control) => {
    if (data.kind !== "initialized") return null
    const { systemID } = data
    if (known?.systemID !== systemID) {
      const facts = await control().catch(() => null)
      known = facts === null ? null : { systemID, bytes: facts.segmentBytes }
    }
    return known?.bytes ?? null
  }
}

/**
 * Only who recovers is bound by them, which no running primary does. A file that is being written
 * reads as damaged: not known.
 */
async function floorsOf(
  data: DataDir,
  running: boolean,
  control: (most: Millis) => Promise<ControlFacts | null>,
): Promise<Local["floors"]> {
  if (data.kind !== "initialized" || (running && data.role !== "standby")) return null
  const facts = await control(running ? floorsEvery : millis(0)).catch(() => null)
  return facts?.floors ?? null
}

/** Null while there is nothing yet, or where the system does not tell. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    const { blocks, bsize } = await statfs(path)
    return blocks * bsize
  } catch {
    return null
  }
}

/**
 * The directories set aside that hold the same system as the data in use; others are a person's
 * (N4).
 */
async function sameSystem(
  root: string,
  names: readonly string[],
  data: DataDir,
): Promise<readonly string[]> {
  const asides = names.filter((name) => name.startsWith(asidePrefix))
  if (data.kind !== "initialized") return asides // nothing in use that could replace them
  const same: string[] = []
  for (const name of asides)
    if ((await systemIdOf(join(root, name))) === data.systemID) same.push(name)
  return same
}
