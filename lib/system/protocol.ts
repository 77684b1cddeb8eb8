/**
 * What keeper and guardian say to each other: one JSON value per line over a unix socket. Requests
 * carry an id and are answered with it; exits come unasked.
 *
 * A keeper of one version may meet the guardian of another (an upgrade while PostgreSQL runs), so
 * fields are only ever added and unknown ones ignored. Moments are on the boot clock, which both
 * processes share.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"

const exit = v.object({
  code: v.nullable(v.number()),
  signal: v.nullable(v.string()),
  asked: v.boolean(),
})

const postmaster = v.variant("kind", [
  v.object({ kind: v.literal("stopped"), exit: v.nullable(exit) }),
  v.object({
    kind: v.literal("running"),
    pid: v.number(),
    dataDir: v.string(),
    stopping: v.boolean(),
  }),
])

const start = v.object({
  postgres: v.string(),
  dataDir: v.string(),
  args: v.pipe(v.array(v.string()), v.readonly()),
})

/** What is certified, and how it is published, when PostgreSQL ends and no keeper is there. */
const will = v.object({
  epoch: v.string(),
  dbuid: v.string(),
  boot: v.string(),
  certify: v.optional(v.boolean(), true),
  file: v.string(),
  herald: v.nullable(
    v.object({
      info: v.string(),
      store: v.unknown(),
      ttl: v.pipe(v.number(), v.transform(millis)),
    }),
  ),
})
/** Absent from an older keeper: then PostgreSQL is held without a lease. */
const lease = v.optional(v.nullable(v.object({ will: v.nullable(will) })), null)

export const requestSchema = v.variant("op", [
  /** First on every connection; the newest connection is the keeper, older ones are closed. */
  v.object({ id: v.number(), op: v.literal("hello") }),
  v.object({ id: v.number(), op: v.literal("state") }),
  v.object({
    id: v.number(),
    op: v.literal("start"),
    what: start,
    /** The hold that this start rests on; this guardian may be another than the one that has it. */
    hold: v.optional(v.nullable(v.object({ until: v.number(), lease })), null),
  }),
  v.object({
    id: v.number(),
    op: v.literal("stop"),
    mode: v.picklist(["fast", "immediate"]),
    escalateAfter: v.number(),
  }),
  v.object({ id: v.number(), op: v.literal("hold"), until: v.number(), lease }),
  v.object({ id: v.number(), op: v.literal("end"), escalateAfter: v.number() }),
])
export type Request = v.InferOutput<typeof requestSchema>

type WithoutId<R> = R extends Request ? Omit<R, "id"> : never
/** A request before it has a number. */
export type Question = WithoutId<Request>

/** Answer to `hello`. `leased`: until when PostgreSQL runs under a lease. */
export const welcomeSchema = v.object({
  boot: v.string(),
  pid: v.number(),
  leased: v.optional(v.nullable(v.number()), null),
})
export type Welcome = v.InferOutput<typeof welcomeSchema>

export const postmasterSchema = postmaster

export const answerSchema = v.union([
  v.object({ id: v.number(), result: v.unknown() }),
  v.object({ id: v.number(), error: v.string() }),
  v.object({ exit }),
])
export type Answer = v.InferOutput<typeof answerSchema>

/**
 * `<data-dir>/guardian.json`: where the guardian is and how to tell that it is still the same
 * process.
 */
export const addressSchema = v.object({
  pid: v.number(),
  start: v.string(),
  machineBoot: v.string(),
  boot: v.string(),
  socket: v.string(),
})
export type Address = v.InferOutput<typeof addressSchema>

export const addressFile = "guardian.json"
export const lockFileName = "guardian.lock"
export const socketName = "guardian.sock"

/**
 * The one line that a new guardian writes to its standard output: that it listens, or why it does
 * not.
 */
export const readySchema = v.union([
  v.object({ ready: addressSchema }),
  /** `held`: another guardian has the lock. */
  v.object({ failed: v.string(), held: v.boolean() }),
])
export type Ready = v.InferOutput<typeof readySchema>
