/**
 * Keys and answers as etcd's second API writes them.
 */
import * as v from "valibot"
import { StoreError, type Version } from "#port/store.ts"
import { type HttpRequest, type Reply, refusal } from "./http-pool.ts"
import type { Entry } from "./keyvalue.ts"

/** A key as it stands. */
export interface Node extends Entry {
  readonly index: number
}

interface RawNode {
  readonly key?: string | undefined
  readonly value?: string | undefined
  readonly dir?: boolean | undefined
  readonly modifiedIndex?: number | undefined
  readonly createdIndex?: number | undefined
  readonly nodes?: readonly RawNode[] | undefined
}
const nodeSchema: v.GenericSchema<RawNode> = v.object({
  key: v.optional(v.string()),
  value: v.optional(v.string()),
  dir: v.optional(v.boolean()),
  modifiedIndex: v.optional(v.number()),
  createdIndex: v.optional(v.number()),
  nodes: v.optional(v.array(v.lazy(() => nodeSchema))),
})
const answerSchema = v.object({ node: nodeSchema })
const errorSchema = v.object({ errorCode: v.number(), message: v.optional(v.string(), "") })

/** What an error's number says (etcd 2.3, "Error Code"). */
export const codes = { missing: 100, compareFailed: 101, exists: 105, cleared: 401 } as const

/** The API roots every key. */
export const bare = (key: string): string => key.replace(/^\/+/, "")
export const keyPath = (key: string): string =>
  `keys/${bare(key).split("/").map(encodeURIComponent).join("/")}`

/** How a request ended that the server understood. */
export type Answer =
  | { readonly kind: "node"; readonly node: RawNode }
  /** One of `codes`. */
  | { readonly kind: "error"; readonly code: number }

const known: readonly number[] = Object.values(codes)

/** Throws `StoreError` for every answer that says nothing of the key. */
export function answered(request: HttpRequest, reply: Reply): Answer {
  const { status, body } = reply
  if (status === 200 || status === 201)
    return { kind: "node", node: parsed(answerSchema, request, body).node }
  const error = v.safeParse(v.pipe(v.string(), v.parseJson(), errorSchema), body)
  if (error.success && known.includes(error.output.errorCode))
    return { kind: "error", code: error.output.errorCode }
  throw refusal(request, reply)
}

function parsed<S extends v.GenericSchema>(
  schema: S,
  { method, path }: HttpRequest,
  body: string,
): v.InferOutput<S> {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body)
  if (result.success) return result.output
  throw new StoreError("malformed", `etcd: ${method} ${path}: not what was expected: ${body}`)
}

/** A key with a value; null: a directory. */
export function nodeOf(raw: RawNode): Node | null {
  const { key, value, modifiedIndex: index = 0, createdIndex = 0 } = raw
  if (raw.dir === true || key === undefined || value === undefined) return null
  const version = String(index) as Version // the brand's source
  return { key: bare(key), value, version, created: BigInt(createdIndex), index }
}

/** All keys with values below a directory, however deep. */
export function leaves(raw: RawNode): readonly Node[] {
  const own = nodeOf(raw)
  return [...(own === null ? [] : [own]), ...(raw.nodes ?? []).flatMap(leaves)]
}

export const form = (fields: Readonly<Record<string, string>>): string =>
  new URLSearchParams(fields).toString()
