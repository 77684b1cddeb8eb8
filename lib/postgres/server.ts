/**
 * One look into a running PostgreSQL (reference 6.2) over the connections that stay open: one SQL
 * statement, one IDENTIFY_SYSTEM, and the history file from disk.
 *
 * "Cannot connect" while the postmaster lives is never "failed" (D-81): it is `starting`, with what
 * PostgreSQL said about it.
 */
import * as v from "valibot"
import { type LSN, lsn, parseLsn, zeroLsn } from "#base/lsn.ts"
import { sortedSet } from "#base/order.ts"
import { type DBUID, dbUID, slotPrefix } from "#model/ids.ts"
import type { Server } from "#model/local.ts"
import { oldestWalFile } from "./datadir.ts"
import { codeOf, type Context, messageOf } from "./settings.ts"
import { readHistory } from "./timeline.ts"

const position = v.pipe(
  v.string(),
  v.transform((text) => parseLsn(text) ?? lsn(-1n)),
  v.check((found) => found >= 0n, "expected a position such as 0/3000000"),
)

/**
 * Replication slots of ordinary physical standbys; temporary ones belong to running copies, logical
 * ones to their users.
 */
const factsSql = `select json_build_object(
  'inRecovery', pg_is_in_recovery(),
  'systemID', (select system_identifier::text from pg_control_system()),
  'timeline', case when pg_is_in_recovery() then greatest(
      (select timeline_id from pg_control_checkpoint()),
      (select min_recovery_end_timeline from pg_control_recovery()))
    else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end,
  'position', case when pg_is_in_recovery()
    then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0'::pg_lsn)
    else pg_current_wal_flush_lsn() end,
  'replayed', case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), '0/0'::pg_lsn)
    else '0/0'::pg_lsn end,
  'list', current_setting('synchronous_standby_names') || ' since ' || pg_postmaster_start_time()::text,
  'sync', (select coalesce(json_agg(json_build_object('name', application_name,
      'flushed', coalesce(flush_lsn, '0/0'::pg_lsn)::text)), '[]') from pg_stat_replication
    where sync_state = 'sync' and starts_with(application_name, '${slotPrefix}')),
  'streaming', exists(select from pg_stat_wal_receiver where status = 'streaming'),
  'pendingRestart', exists(select from pg_settings where pending_restart),
  'slots', (select coalesce(json_agg(json_build_object('name', slot_name, 'active', active,
      'lost', coalesce(to_jsonb(s) ->> 'wal_status' = 'lost', false))
    order by slot_name), '[]') from pg_replication_slots s
    where slot_type = 'physical' and not temporary),
  'slotsUsed', (select count(*) from pg_replication_slots where not temporary),
  'place', json_build_object('port', current_setting('port'),
    'listenAddress', current_setting('listen_addresses'),
    'socketDirectory', current_setting('unix_socket_directories')),
  'segmentBytes', (select bytes_per_wal_segment from pg_control_init()),
  'parameters', (select coalesce(json_agg(json_build_array(name, setting) order by seqno), '[]')
    from pg_file_settings where name is not null and setting is not null))::text as facts`

const factsRow = v.object({
  facts: v.pipe(
    v.string(),
    v.parseJson(),
    v.object({
      inRecovery: v.boolean(),
      systemID: v.string(),
      timeline: v.number(),
      position,
      replayed: position,
      list: v.string(),
      sync: v.array(v.object({ name: v.string(), flushed: position })),
      streaming: v.boolean(),
      pendingRestart: v.boolean(),
      slots: v.array(v.object({ name: v.string(), active: v.boolean(), lost: v.boolean() })),
      slotsUsed: v.number(),
      place: v.object({
        port: v.string(),
        listenAddress: v.string(),
        socketDirectory: v.string(),
      }),
      segmentBytes: v.number(),
      parameters: v.array(v.tuple([v.string(), v.string()])),
    }),
  ),
})

const identityRow = v.object({
  systemid: v.string(),
  timeline: v.pipe(v.union([v.string(), v.number()]), v.transform(Number)),
  xlogpos: position,
})

/**
 * Timeline and position belong together: a standby may have received, but not replayed, WAL of the
 * next timeline.
 */
interface Identity {
  readonly timeline: number
  readonly position: LSN
}

/** Asks a PostgreSQL whose postmaster is alive. */
export async function observeServer(context: Context, signal: AbortSignal): Promise<Server> {
  const { sessions, places, baseline } = context
  try {
    const own = await sessions.own(signal)
    const [rows, identity] = await Promise.all([
      own.query(factsRow, factsSql, signal),
      identify(context, signal),
    ])
    const facts = rows[0]?.facts
    if (facts === undefined) return { kind: "starting", why: "it gave no answer" }
    const { inRecovery, systemID, streaming, pendingRestart } = facts
    const { slots, slotsUsed, place, segmentBytes } = facts
    const timeline = identity?.timeline ?? facts.timeline
    return {
      kind: "up",
      inRecovery,
      systemID,
      timeline,
      position: identity?.position ?? facts.position,
      replayed: facts.replayed,
      history: await readHistory(places.data, timeline),
      syncStandbys: syncStandbys(
        facts.sync,
        inRecovery ? zeroLsn : baseline.of(facts.list, facts.position),
      ),
      streaming,
      revision: sessions.revision,
      pendingRestart,
      slots,
      slotsUsed,
      place,
      segmentBytes,
      fileParameters: new Map(facts.parameters), // the last row of a name wins
      olderWalFile: await oldestWalFile(places.data, segmentBytes),
    }
  } catch (error) {
    signal.throwIfAborted()
    const starting = { kind: "starting", why: reasonOf(error) } as const
    return refusals.has(codeOf(error)) ? { ...starting, refused: true } : starting
  }
}

/** invalid_password, and the same without a password in play. */
export const refusals: ReadonlySet<string> = new Set(["28P01", "28000"])

/**
 * Null when the replication session is not to be had: the SQL session's own, coarser answer serves
 * then.
 */
async function identify({ sessions }: Context, signal: AbortSignal): Promise<Identity | null> {
  const session = sessions.replication()
  if (session === null) return null
  try {
    const [row] = await session.query(identityRow, "IDENTIFY_SYSTEM", signal)
    return row === undefined ? null : { timeline: row.timeline, position: row.xlogpos }
  } catch {
    signal.throwIfAborted()
    sessions.refused()
    return null
  }
}

interface Sync {
  readonly name: string
  readonly flushed: LSN
}
const syncStandbys = (all: readonly Sync[], from: LSN): readonly DBUID[] =>
  sortedSet(
    all
      .filter(({ flushed }) => flushed >= from)
      .map(({ name }) => dbUID(name.slice(slotPrefix.length))),
  )

/** What a failed connection or question says, in words for people. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error)
  const known: Readonly<Record<string, string>> = {
    ENOENT: "it has not opened its socket yet",
    ECONNREFUSED: "it accepts no connections yet",
    "53300": "its connections are exhausted",
  }
  const text = Object.hasOwn(known, code) ? known[code] : undefined
  return text === undefined ? messageOf(error) : `${text} (${messageOf(error)})`
}
