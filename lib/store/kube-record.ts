/**
 * The leader's record as client-go writes it (reference 3.5), so that Go's sentinels and ours
 * compete for one office. Others never use the times in it, they watch its bytes change; ours also
 * believe the length that a record states, where it is shorter than Go's.
 *
 * A record that cannot be read is an office nobody can renew: it is taken over like any other that
 * does not change (Go's sentinels are kept out by it for ever, D-88).
 */
import * as v from "valibot"
import { type Millis, type Time, millis } from "#base/brand.ts"

/** Go's length; nobody's counts for longer. */
export const goLease = millis(15_000)

const Text = v.object({
  holderIdentity: v.optional(v.string(), ""),
  leaseDurationSeconds: v.optional(v.number(), 0),
  acquireTime: v.optional(v.nullable(v.string())),
  renewTime: v.optional(v.nullable(v.string())),
  leaderTransitions: v.optional(v.number(), 0),
})

export interface LeaderRecord {
  /** Empty: the office is free. */
  readonly holder: string
  readonly seconds: number
  readonly acquired: string
  readonly renewed: string
  readonly transitions: number
}

/** Null: it cannot be read. */
export function parseRecord(text: string): LeaderRecord | null {
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), Text), text)
  if (!found.success) return null
  const record = found.output
  return {
    holder: record.holderIdentity,
    seconds: record.leaseDurationSeconds,
    acquired: record.acquireTime ?? "",
    renewed: record.renewTime ?? "",
    transitions: record.leaderTransitions,
  }
}

/** client-go's bytes. */
export const recordText = (record: LeaderRecord): string =>
  JSON.stringify({
    holderIdentity: record.holder,
    leaseDurationSeconds: record.seconds,
    acquireTime: record.acquired || null,
    renewTime: record.renewed || null,
    leaderTransitions: record.transitions,
  })

/** Whole seconds in UTC, as in a record. */
export const recordTime = (wall: Time): string => wall.replace(/\.\d+/, "")

/** What a holder leaves behind that gives the office back. */
export const released = (before: LeaderRecord): LeaderRecord => ({
  holder: "",
  seconds: 1,
  acquired: "",
  renewed: "",
  transitions: before.transitions,
})

/** How long a record must not change before another may take the office. */
export function leaseOf(record: LeaderRecord | null): Millis {
  const stated = (record?.seconds ?? 0) * 1000
  return stated > 0 && stated < goLease ? millis(stated) : goLease
}

/** What tells one term of office from every other. */
export const termOf = (record: LeaderRecord): string =>
  `${record.transitions} ${record.acquired} ${record.holder}`
