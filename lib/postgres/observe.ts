/**
 * Builds `Local`: everything a keeper knows of its machine at the start of a tick, read once.
 * Changes nothing, but for finishing a directory move that a crash interrupted: half of one is not
 * a state that anybody should plan from.
 *
 * Facts are read in an order that errs on the safe side: the process first, then the files. A
 * PostgreSQL that ends in between is seen as a server that does not answer, and seen as ended at
 * the next look, which its end itself brings about.
 */
import { join } from "node:path"
import type { DataDir, Local } from "#model/local.ts"
import { controlReader } from "./control.ts"
import { contentOf, exists, readDataDir, systemIdOf } from "./datadir.ts"
import { readConfigFiles } from "./files.ts"
import { observeServer } from "./server.ts"
import { asidePrefix, type Context } from "./settings.ts"
import { settleMove } from "./tree.ts"
import { readCertificate, readDBState, readKeeperState, readMark } from "./state.ts"

/** A function that looks; it remembers only answers that cost a process to get. */
export function observer(context: Context): (signal: AbortSignal) => Promise<Local> {
  const { settings, places, supervisor, sessions } = context
  const control = controlReader(settings)
  return async (signal) => {
    await settleMove(places, signal)
    const state = await supervisor.state(signal)
    const running = state.kind === "running"
    if (!running) sessions.close()
    const [keeper, db, mark, certificate, files, binary, names, data, side] = await Promise.all([
      readKeeperState(places),
      readDBState(places),
      readMark(places),
      readCertificate(places),
      readConfigFiles(places.data),
      context.version(signal),
      contentOf(places.root),
      readDataDir(places.data, async (directory) =>
        running ? null : await control(directory, signal),
      ),
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
      server: running ? await observeServer(context, signal) : { kind: "down" },
      binary,
      certificate,
    }
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
