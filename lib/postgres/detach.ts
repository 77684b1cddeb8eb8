/**
 * A standby lets go of its primary (L3, synchronous mode): the leader takes its word for a proof
 * that no commit over there is confirmed any more, so it must never be given too early.
 *
 * The configuration without primary_conninfo is loaded by now, but the startup process, which
 * alone begins WAL receivers, takes a reload at its own moment and could be about to begin one
 * more. Woken by the reload it looks within microseconds; a tenth of a second without a receiver
 * is proof. One that still connects is in no view of receivers, only among the processes.
 */
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import type { Step } from "#model/step.ts"
import type { Job } from "./settings.ts"

const row = v.object({ quiet: v.boolean() })
const sql = `select current_setting('primary_conninfo') = ''
  and pg_is_in_recovery() and not exists(select from pg_stat_wal_receiver)
  and not exists(select from pg_stat_activity where backend_type = 'walreceiver') as quiet`

const pollMs = millis(10)
const quietMs = 100

export const detach = ({ timeout }: Extract<Step, { kind: "detach" }>, job: Job): Promise<void> =>
  receiverGone(timeout, job)

/**
 * Returns when nothing is received any more, and nothing will be.
 *
 * @param timeout 0: however long it takes.
 */
export async function receiverGone(
  timeout: Millis,
  { sessions, settings, signal }: Job,
): Promise<void> {
  const { clock } = settings
  const session = await sessions.own(signal)
  const end = timeout > 0 ? clock.now().mono + timeout : Number.POSITIVE_INFINITY
  let since: number | null = null
  for (;;) {
    const asked = clock.now().mono
    const quiet = (await session.query(row, sql, signal))[0]?.quiet === true
    if (!quiet) since = null
    else if (since === null) since = clock.now().mono
    else if (asked - since >= quietMs) return
    if (clock.now().mono >= end) throw new Error("the WAL receiver has not ended")
    await clock.sleep(pollMs, signal)
  }
}
