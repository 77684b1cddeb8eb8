/**
 * The real PostgreSQL behind the port: guardian, connections, files and programs put together.
 * Decides nothing; what may be done and when is the keeper's plan.
 *
 * Opening finds out whether a PostgreSQL already runs here (the keeper was restarted) and takes it
 * over as it is (D-41). Closing leaves it running under its guardian; `end` is what stops it.
 */
import { realpath } from "node:fs/promises"
import { event } from "#model/events.ts"
import { bootUUID } from "#model/ids.ts"
import { encode } from "#model/codec.ts"
import { KeeperInfo } from "#model/info.ts"
import type { Postgres, Testament } from "#port/postgres.ts"
import type { Exit, Will } from "#port/supervision.ts"
import { privateDirectory } from "#system/files.ts"
import { execute } from "./executors.ts"
import { observer } from "./observe.ts"
import { newBaseline } from "./baseline.ts"
import { openSessions } from "./sessions.ts"
import { type Context, type Places, placesBelow, type PostgresSettings } from "./settings.ts"
import { openSupervisor } from "./supervisor.ts"
import { writePromise } from "./state.ts"
import { removeSecrets } from "./tool.ts"
import { versionReader } from "./version.ts"

/** The testament in the guardian's words: with the file, and with the way to the store. */
function willOf(
  { epoch, db, certify, info, ttl }: Testament,
  boot: string,
  { store }: PostgresSettings,
  { certificate }: Places,
): Will {
  const herald = store === null || !certify ? null : { info: encode(KeeperInfo, info), store, ttl }
  return { epoch, dbuid: db, boot, certify, file: certificate, herald }
}

/** The caller holds the lock of the data directory. */
export async function openPostgres(
  settings: PostgresSettings,
  signal: AbortSignal,
): Promise<Postgres> {
  const { clock, initialDeadline } = settings
  await privateDirectory(settings.dataDir)
  const root = await realpath(settings.dataDir)
  const places = placesBelow(root)
  await removeSecrets(places)
  const supervisor = await openSupervisor({ dataDir: root, clock, initialDeadline }, signal)
  const listeners: (() => void)[] = []
  const changed = (): void => {
    for (const listener of listeners) listener()
  }
  const sessions = openSessions(settings, places, changed)
  let last: Exit | null = null
  supervisor.onExit((exit) => {
    const { code, signal: by, asked } = exit
    last = exit
    sessions.close()
    if (!asked) settings.log.event(event("postgres.exited", { code: code ?? "", signal: by ?? "" }))
    changed()
  })
  const version = versionReader(settings)
  const baseline = newBaseline()
  const exit = (): Exit | null => last
  const context: Context = {
    settings,
    places,
    supervisor,
    sessions,
    baseline,
    version,
    exit,
    changed,
  }
  const observe = observer(context)
  return {
    get boot() {
      return bootUUID(supervisor.boot)
    },
    adopted: supervisor.adopted,
    observe,
    run: (step, progress, stop) => execute(step, { ...context, progress, signal: stop }),
    leased: supervisor.leased,
    hold: (until, stop) => supervisor.hold(until, stop),
    lease: (until, testament, stop) =>
      supervisor.lease(
        until,
        testament && willOf(testament, supervisor.boot, settings, places),
        stop,
      ),
    promise: (made) => writePromise(places, made),
    onChange: (callback) => {
      listeners.push(callback)
    },
    end: async (escalateAfter, stop) => {
      sessions.close()
      await supervisor.end(escalateAfter, stop)
    },
    [Symbol.asyncDispose]: async () => {
      sessions.close()
      await supervisor[Symbol.asyncDispose]()
    },
  }
}
