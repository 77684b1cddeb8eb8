/**
 * What clients did and were told, in elle's list-append form: transactions append unique values to
 * lists and read lists. All times are CLOCK_BOOTTIME of the one machine that everything runs on, so
 * those of different clients can be compared.
 *
 * A line of a history file is one finished operation; what is missing at its end never became
 * known.
 */
import * as v from "valibot"

const action = v.variant("kind", [
  v.object({
    kind: v.literal("append"),
    key: v.number(),
    value: v.number(),
    /** Its place in the list, as the server returned it, from 1; null when it did not. */
    position: v.nullable(v.number()),
  }),
  v.object({ kind: v.literal("read"), key: v.number(), values: v.array(v.number()) }),
])

const operation = v.object({
  client: v.string(),
  /** The node whose client it is: it uses this node's proxy, or this node's PostgreSQL. */
  node: v.number(),
  via: v.picklist(["proxy", "direct"]),
  level: v.picklist(["read committed", "serializable"]),
  start: v.number(),
  /** BEGIN was answered. */
  begun: v.boolean(),
  /** When COMMIT was sent; null when it came to none. */
  sent: v.nullable(v.number()),
  end: v.number(),
  outcome: v.picklist(["ok", "fail", "unknown"]),
  /** The server cancelled the wait for its standby, and said so (N2). */
  cancelled: v.boolean(),
  /** Of whoever answered: address, system identifier, timeline; null while none has. */
  server: v.nullable(v.string()),
  system: v.nullable(v.string()),
  timeline: v.nullable(v.number()),
  /** It was a standby. */
  recovery: v.boolean(),
  actions: v.array(action),
  error: v.optional(v.string()),
})

/** An operation that is not finished yet. */
export type Draft = v.InferOutput<typeof operation>
export type Action = Readonly<v.InferOutput<typeof action>>
export type Operation = Readonly<Omit<v.InferOutput<typeof operation>, "actions">> & {
  readonly actions: readonly Action[]
}

/** The lists at the end, by key. */
export type Lists = ReadonlyMap<number, readonly number[]>

export const parseOperation = (line: string): Operation => v.parse(operation, JSON.parse(line))

/** A fault as it was made, for the checkers and the report. */
export interface Fault {
  readonly name: string
  /** The primary's address when it struck, null when there was none. */
  readonly primary: string | null
  /** Nodes that it touches. */
  readonly nodes: readonly number[]
  /** The leading etcd member was on one of them. */
  readonly ledStore: boolean
  /** Their proxies may be without service as long as it lasts. */
  readonly proxiesOut: readonly number[]
  /** Addresses of servers that may lose what they had not sent, where that is allowed at all. */
  readonly mayLose: readonly string[]
  /** Planned, so that no transaction may fail for it (S6). */
  readonly smooth: boolean
  /** It ends with frozen processes going on: the limit of N1 holds for a moment. */
  readonly thaws: boolean
  readonly struck: number
  readonly healed: number
  /** When the cluster was whole again; null when it never was. */
  readonly whole: number | null
  /** The longest gap allowed, in milliseconds; null when none is promised. */
  readonly bound: number | null
  readonly note: string
}
