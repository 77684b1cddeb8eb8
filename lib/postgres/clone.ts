/**
 * A fresh copy of another DB into `postgres.new/`, by pg_basebackup. It never writes into
 * `postgres/` (D-08).
 *
 * Three traps. The copy must not run under the name of a standby: a WAL stream called
 * `stolon_<uid>` could be counted as the synchronous standby that it is not yet. The copy is a
 * standby from birth (`standby.signal`): started without, it would be a second primary on the
 * source's timeline. And the source's slot may not exist yet (D-59): that is found out before the
 * copy, not after.
 *
 * Tablespaces keep their place when it is free on this machine. When it is not (the present data
 * uses it, or another keeper of this machine), the copy goes to `tablespaces/` below the keeper's
 * directory (D-51).
 */
import { constants } from "node:fs"
import { access, mkdir } from "node:fs/promises"
import { join } from "node:path"
import * as v from "valibot"
import type { Source, Step } from "#model/step.ts"
import { syncDirectory } from "#system/files.ts"
import { addSignal, unblockAlterSystem } from "./config.ts"
import { contentOf } from "./datadir.ts"
import { temporaryName } from "./files.ts"
import { newSession, type Target } from "./session.ts"
import { sparing } from "./sessions.ts"
import { type Account, type Job, passwordOf, stamp } from "./settings.ts"
import { conninfo, runTool } from "./tool.ts"
import { removeTree, syncFile, unlinkIfPresent } from "./tree.ts"

/** No standby's name: those begin with `stolon_`. */
const copyName = "stolon-copy"

export async function clone(step: Extract<Step, { kind: "clone" }>, job: Job): Promise<void> {
  const { settings, places, signal } = job
  const { from, slot } = step
  await removeTree(places.side, signal)
  const account = settings.replication
  if (/^[a-z0-9_]+$/.test(slot)) await assertSlot(from, slot, job)
  const source = conninfo({
    host: from.host,
    port: from.port,
    user: account.name,
    application_name: copyName,
    sslmode: "prefer",
    connect_timeout: "10",
    options: "-c synchronous_commit=off",
  })
  await runTool(
    {
      name: "pg_basebackup",
      what: "clone",
      password: passwordOf(account),
      hopeless: /replication slot "[^"]*" does not exist/,
      args: [
        ...["-D", places.side, "-d", source, "-X", "stream", "-c", "fast", "-P", "-v", "-w"],
        ...(slot === "" ? [] : ["--slot", slot]),
        ...(await tablespaceFlags(from, job)),
      ],
    },
    job,
  )
  // pg_basebackup has synced what it wrote; what follows is ours.
  await addSignal(places.side, "standby")
  await unblockAlterSystem(places.side)
  await unlinkIfPresent(join(places.side, temporaryName))
  await syncFile(join(places.side, "PG_VERSION"))
  await syncDirectory(places.side)
  await syncDirectory(places.root)
}

/** A session on another keeper's PostgreSQL. */
export const sourceTarget = (
  { host, port }: Source,
  account: Account,
  parameters: Target["parameters"],
): Target => ({
  at: { host, port: Number(port) },
  user: account.name,
  password: passwordOf(account),
  database: "postgres",
  parameters,
})

const slotRow = v.object({ slot_type: v.nullable(v.string()) })

/**
 * Throws when the source says that the slot is not there. Any other answer decides nothing
 * (READ_REPLICATION_SLOT exists since 15, and pg_basebackup tells better why it cannot connect).
 */
async function assertSlot(from: Source, slot: string, job: Job): Promise<void> {
  const { settings, signal } = job
  const target = sourceTarget(from, settings.replication, { replication: "true" })
  const session = newSession(target, settings.clock, settings.requestTimeout)
  try {
    const [row] = await session.query(slotRow, `READ_REPLICATION_SLOT ${slot}`, signal)
    if (row?.slot_type !== null) return
  } catch {
    signal.throwIfAborted()
    return
  } finally {
    session.close()
  }
  throw new Error(`replication slot "${slot}" does not exist yet on ${from.host}:${from.port}`)
}

const spaceRow = v.object({ oid: v.string(), location: v.string() })
type Space = v.InferOutput<typeof spaceRow>
const spacesSql = `select oid::text, pg_tablespace_location(oid) as location from pg_tablespace
  where pg_tablespace_location(oid) like '/%' order by oid`

/**
 * `-T` for each tablespace whose place is taken here. Without an answer from the source
 * pg_basebackup has to see for itself.
 */
async function tablespaceFlags(from: Source, job: Job): Promise<readonly string[]> {
  const { settings, places, signal } = job
  try {
    const spaces = await spacesOf(from, job)
    const flags: string[] = []
    for (const { oid, location } of spaces) {
      if (await isFree(location)) continue
      const own = join(places.tablespaces, `${stamp(settings)}-${oid}`)
      flags.push("-T", `${escapeSpace(location)}=${escapeSpace(own)}`)
    }
    return flags
  } catch {
    signal.throwIfAborted()
    return []
  }
}

/**
 * Also when clients hold every connection of the source: commits that wait for the very standby
 * that this copy shall be are no reason not to make it.
 */
function spacesOf(from: Source, { settings, signal }: Job): Promise<readonly Space[]> {
  const target = sourceTarget(from, settings.superuser, { application_name: copyName })
  return sparing(target, async (one) => {
    const session = newSession(one, settings.clock, settings.requestTimeout)
    try {
      return await session.query(spaceRow, spacesSql, signal)
    } finally {
      session.close()
    }
  })
}

const escapeSpace = (path: string): string => path.replace(/[=\\]/g, "\\$&")

/** A directory that is empty and ours to fill, or can be made. */
async function isFree(location: string): Promise<boolean> {
  try {
    await mkdir(location, { recursive: true, mode: 0o700 })
    await access(location, constants.R_OK | constants.W_OK | constants.X_OK)
    return (await contentOf(location)).length === 0
  } catch {
    return false
  }
}
