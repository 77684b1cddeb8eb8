/**
 * One look at a keeper's machine that changes nothing: no guardian is started or spoken to, no
 * directory is made, a move that a crash interrupted is not finished. For `keeper --dry-run`, also
 * beside a keeper that runs; it must never become the way in which one works.
 */
import { realpath } from "node:fs/promises"
import type { Local } from "#model/local.ts"
import type { Postmaster, Supervisor } from "#port/supervision.ts"
import { findInstance } from "#system/instance.ts"
import { newBaseline } from "./baseline.ts"
import { exists } from "./datadir.ts"
import { observer } from "./observe.ts"
import { openSessions } from "./sessions.ts"
import { type PostgresSettings, placesBelow } from "./settings.ts"
import { versionReader } from "./version.ts"

export async function lookOnce(settings: PostgresSettings, signal: AbortSignal): Promise<Local> {
  const root = await realpath(settings.dataDir).catch(() => settings.dataDir)
  const places = placesBelow(root)
  if (await exists(places.move))
    throw new Error(
      `a move of ${places.data} was interrupted and is not finished by looking; start the keeper`,
    )
  const sessions = openSessions(settings, places, () => {})
  const observe = observer({
    settings,
    places,
    supervisor: onlooker(await realpath(places.data).catch(() => places.data)),
    sessions,
    baseline: newBaseline(),
    version: versionReader(settings),
    exit: () => null,
    changed: () => {},
  })
  try {
    return await observe(signal)
  } finally {
    sessions.close()
  }
}

/** Sees what runs in the directory, whoever started it, and does nothing about it. */
function onlooker(dataDir: string): Supervisor {
  const refuse = (): never => {
    throw new Error("this only looks")
  }
  const state = (): Postmaster => {
    const found = findInstance(dataDir)
    return found === null
      ? { kind: "stopped", exit: null }
      : { kind: "running", pid: found.pid, dataDir, stopping: found.start === "dead" }
  }
  return {
    boot: "",
    adopted: false,
    leased: null,
    state: async () => state(),
    start: refuse,
    stop: refuse,
    hold: refuse,
    lease: refuse,
    end: refuse,
    onExit: () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}
