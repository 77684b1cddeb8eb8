/**
 * Keys, values and transactions as Consul's HTTP API writes them.
 *
 * All keys carry the flag of Consul's locks, as Go's do: a lock refuses a key without it.
 */
import * as v from "valibot"
import { byText, by } from "#base/order.ts"
import { StoreError, type Version } from "#port/store.ts"
import { type HttpRequest, type Reply, refusal } from "./http-pool.ts"
import type { Entry } from "./keyvalue.ts"

/** Too great for a number of JSON as JavaScript knows them; written as text. */
const lockFlag = "3304740253564472344"
const flagMark = "@lock-flag@"

const pairSchema = v.object({
  Key: v.string(),
  Value: v.nullable(v.string()),
  CreateIndex: v.number(),
  ModifyIndex: v.number(),
  Session: v.optional(v.string(), ""),
})
/** A key as it stands. */
export interface Pair extends Entry {
  /** Of the session that holds it; empty: nobody does. */
  readonly session: string
  readonly index: number
}

export const pairsSchema = v.array(pairSchema)
const resultsSchema = v.object({
  Results: v.nullable(v.array(v.object({ KV: v.optional(pairSchema) }))),
})
const errorsSchema = v.object({
  Errors: v.nullable(v.array(v.object({ OpIndex: v.number(), What: v.string() }))),
})

const pairOf = (one: v.InferOutput<typeof pairSchema>): Pair => ({
  key: one.Key,
  value: Buffer.from(one.Value ?? "", "base64").toString(),
  version: String(one.ModifyIndex) as Version, // the brand's source
  created: BigInt(one.CreateIndex),
  session: one.Session,
  index: one.ModifyIndex,
})

/** Consul's keys begin with no slash. */
export const bare = (key: string): string => key.replace(/^\/+/, "")
/** In a path. */
export const kvPath = (key: string): string =>
  `kv/${bare(key).split("/").map(encodeURIComponent).join("/")}`

/** The answer to a question for one key; null: there is none. */
export function pairIn(request: HttpRequest, reply: Reply): Pair | null {
  if (reply.status === 404) return null
  const [pair] = parsed(pairsSchema, request, reply)
  return pair === undefined ? null : pairOf(pair)
}

export function parsed<S extends v.GenericSchema>(
  schema: S,
  { method, path }: HttpRequest,
  { body }: Reply,
): v.InferOutput<S> {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body)
  if (result.success) return result.output
  throw new StoreError("malformed", `consul: ${method} ${path}: not what was expected: ${body}`)
}

/** One operation of a transaction. */
export interface Op {
  readonly Verb:
    | "set"
    | "cas"
    | "lock"
    | "unlock"
    | "get-tree"
    | "check-session"
    | "check-index"
    | "check-not-exists"
  readonly Key: string
  readonly Value?: string
  readonly Index?: number
  readonly Session?: string
  readonly Flags?: typeof flagMark
}
export const written = (value: string): Pick<Op, "Value" | "Flags"> => ({
  Value: Buffer.from(value).toString("base64"),
  Flags: flagMark,
})

export const transaction = (
  ops: readonly Op[],
  query: Readonly<Record<string, string>> = {},
): HttpRequest => ({
  method: "PUT",
  path: "txn",
  query,
  body: JSON.stringify(ops.map((KV) => ({ KV }))).replaceAll(`"${flagMark}"`, lockFlag),
})

/** How a transaction ended: applied as a whole, or not at all. */
export type Applied =
  | { readonly kind: "done"; readonly pairs: readonly Pair[] }
  /** What it compared is not so; the first operation that said so. */
  | { readonly kind: "refused"; readonly at: number }

/** What it has found or written, in the order of its operations. Throws `StoreError`. */
export function applied(request: HttpRequest, reply: Reply): Applied {
  if (reply.status === 409) {
    const errors = parsed(errorsSchema, request, reply).Errors ?? []
    // a missing right comes as one more thing that is not so
    const denied = errors.find(({ What }) => /permission denied/i.test(What))
    if (denied === undefined)
      return { kind: "refused", at: Math.min(...errors.map(({ OpIndex: index }) => index)) }
    throw new StoreError("denied", `consul: ${request.method} ${request.path}: ${denied.What}`)
  }
  if (reply.status !== 200) throw refusal(request, reply)
  const results = parsed(resultsSchema, request, reply).Results ?? []
  const pairs = results.flatMap(({ KV: pair }) => (pair === undefined ? [] : [pairOf(pair)]))
  return { kind: "done", pairs }
}

export const byKey = by(({ key }: Entry) => key, byText)
