/**
 * What a proxy and its workers say to each other: one JSON value a line, orders on the worker's
 * input, reports on its output. Both are always the same executable, so nothing here has to
 * outlive a version.
 *
 * Orders are carried out in the order in which they come. A drain is answered when it is over, and
 * what comes after it does not wait for it.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"

import type { Part } from "./keys.ts"

const time = v.pipe(v.number(), v.transform(millis))

const options = v.object({
  host: v.string(),
  port: v.number(),
  dialTimeout: time,
  keepalive: v.object({ idle: v.number(), interval: v.number(), count: v.number() }),
  userTimeout: v.exactOptional(time),
  hold: v.object({ timeout: time, max: v.number() }),
  max: v.number(),
  prefaced: v.boolean(),
})

const part: v.GenericSchema<Part> = v.picklist(["primary", "reads"])

const setup = v.object({
  primary: options,
  /** Null: no listener for reads. `fallback`: the primary takes whoever finds no standby. */
  reads: v.nullable(v.object({ options, fallback: v.boolean() })),
})
export type Setup = v.InferOutput<typeof setup>

const destination = v.object({ host: v.string(), port: v.number() })
const route = v.variant("kind", [
  v.object({ kind: v.literal("wait"), drain: v.nullable(time) }),
  v.object({ kind: v.literal("forward"), ...destination.entries }),
])
const spread = v.object({ to: v.array(v.array(destination)), leaving: v.array(destination) })

/** Where the session of a key is. */
const found = v.nullable(v.object({ part, at: destination }))

export const orderSchema = v.variant("order", [
  /** The first one, and only that. */
  v.object({ order: v.literal("be"), setup }),
  /** Not answered. */
  v.object({ order: v.literal("allow"), until: time }),
  /** Answered at once by `whose`. */
  v.object({ order: v.literal("whose"), id: v.number(), key: v.string() }),
  /** The answer to the worker's own question. */
  v.object({ order: v.literal("found"), question: v.number(), found }),
  v.object({ id: v.number(), order: v.literal("listen"), part, port: v.number() }),
  v.object({ id: v.number(), order: v.literal("unlisten"), part }),
  v.object({ id: v.number(), order: v.literal("lead"), route }),
  v.object({ id: v.number(), order: v.literal("spread"), spread }),
])
export type Order = v.InferInput<typeof orderSchema>
export type Received = v.InferOutput<typeof orderSchema>

type WithoutId<O> = O extends { readonly id: number } ? Omit<O, "id"> : never
/** An order that is answered, before it has a number. */
export type Question = WithoutId<Exclude<Order, { readonly order: "whose" }>>

const count = v.number()
const histogram = v.object({ counts: v.pipe(v.array(count), v.readonly()), sum: count })
const stats = v.object({
  sessions: count,
  accepted: count,
  refused: count,
  dialErrors: count,
  bytesIn: count,
  bytesOut: count,
  held: count,
  heldTotal: count,
  holdTimeouts: count,
  drained: count,
  cut: count,
  cutBy: v.object({ "led-away": count, bound: count, overdue: count, worker: count }),
  dials: histogram,
  holds: histogram,
})

export const reportSchema = v.union([
  /** Who has the session of this key? */
  v.object({ question: v.number(), key: v.string() }),
  v.object({ whose: v.number(), found }),
  v.object({ id: v.number(), done: v.picklist(["done", "overtaken"]) }),
  v.object({ id: v.number(), failed: v.string() }),
  v.object({ primary: stats, reads: stats, passed: count }),
])
export type Report = v.InferOutput<typeof reportSchema>
export type Counts = Extract<Report, { readonly passed: number }>
