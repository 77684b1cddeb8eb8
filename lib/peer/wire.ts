/**
 * The words of the peer endpoint (protocol part 8) and the signature under a promise.
 *
 * Key: from the replication password and the cluster's uid, so that clusters that share a password
 * do not take each other's word; stretched as SCRAM stretches it, since whoever hears a signed
 * message could try passwords against it. Question and answer are signed over method, path and body
 * and as what they are. The asker draws a random nonce and takes only an answer that repeats nonce
 * and question: an old answer, or one to somebody else, is none.
 *
 * A *question* may be replayed. It then asks for an old epoch or an old primary, and a keeper whose
 * view names another, or that reaches the store, declines; while the view is still the same it
 * makes a keeper hold back for one more width, which delays and never harms.
 */
import { createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto"
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import type { ClusterUID, DBUID, Epoch, KeeperUID } from "#model/ids.ts"
import type { LeaseAnswer, PromiseAnswer, PromiseQuestion } from "#port/peer.ts"

export const paths = {
  promise: "/v1/promise",
  lease: "/v1/lease",
  nudge: "/v1/nudge",
  attend: "/v1/attend",
} as const
export const signatureHeader = "x-stolon-signature"

/** SCRAM's own number (RFC 7677). */
const rounds = 4_096
const keyOf = (password: string, cluster: ClusterUID): Buffer =>
  pbkdf2Sync(password, `stolon peers 1 ${cluster}`, rounds, 32, "sha256")

/** The key of a cluster; the last one is kept, since making it takes milliseconds. */
export function keyring(password: string): (cluster: ClusterUID) => Buffer {
  let last: { readonly cluster: ClusterUID; readonly key: Buffer } | null = null
  return (cluster) => {
    if (last?.cluster !== cluster) last = { cluster, key: keyOf(password, cluster) }
    return last.key
  }
}

/** What is signed: an answer never passes for a question, nor one path for another. */
export const sign = (key: Buffer, what: "question" | "answer", body: string): string =>
  createHmac("sha256", key).update(`${what}\nPOST\n${paths.promise}\n${body}`).digest("hex")

export function signed(
  key: Buffer,
  what: "question" | "answer",
  body: string,
  signature: string | undefined,
): boolean {
  const right = Buffer.from(sign(key, what, body))
  const given = Buffer.from(signature ?? "")
  return given.length === right.length && timingSafeEqual(given, right)
}

const id = v.pipe(v.string(), v.maxLength(200))
const span = v.pipe(v.number(), v.finite(), v.minValue(0))
const questionSchema = v.object({
  cluster: id,
  epoch: id,
  db: id,
  asker: id,
  asked: id,
  width: span,
})
const asked = v.object({ nonce: id, question: questionSchema })
const answerSchema = v.variant("kind", [
  v.object({ kind: v.literal("promised") }),
  v.object({ kind: v.literal("declined"), why: v.string() }),
])
const answered = v.object({ ...asked.entries, answer: answerSchema })
const leaseSchema = v.object({
  cluster: id,
  keeper: id,
  lease: v.nullable(v.object({ db: id, epoch: id, remaining: span })),
  serves: v.optional(
    v.nullable(v.object({ db: id, systemID: v.string(), recovering: v.boolean() })),
  ),
})

export interface Asked {
  readonly nonce: string
  readonly question: PromiseQuestion
}

// oxlint-disable typescript/no-unsafe-type-assertion -- brands are minted at the border
const question = (read: v.InferOutput<typeof questionSchema>): PromiseQuestion => ({
  cluster: read.cluster as ClusterUID,
  epoch: read.epoch as Epoch,
  db: read.db as DBUID,
  asker: read.asker as KeeperUID,
  asked: read.asked as KeeperUID,
  width: millis(read.width),
})

export const printAsked = (what: Asked): string => JSON.stringify(what)
/** Throws when it is none. */
export function readAsked(body: string): Asked {
  const read = v.parse(asked, JSON.parse(body))
  return { nonce: read.nonce, question: question(read.question) }
}

export const printAnswered = (what: Asked, answer: PromiseAnswer): string =>
  JSON.stringify({ ...what, answer })
/** The answer to this very question; throws when it is another's. */
export function readAnswered(body: string, { nonce, question: sent }: Asked): PromiseAnswer {
  const read = v.parse(answered, JSON.parse(body))
  const back = question(read.question)
  const same = (
    ["cluster", "epoch", "db", "asker", "asked", "width"] as const satisfies (keyof typeof sent)[]
  ).every((name) => back[name] === sent[name])
  if (read.nonce !== nonce || !same) throw new Error("an answer to another question")
  return read.answer
}

export const printLease = (answer: LeaseAnswer): string => JSON.stringify(answer)
export function readLease(body: string): LeaseAnswer {
  const { cluster, keeper, lease, serves } = v.parse(leaseSchema, JSON.parse(body))
  return {
    cluster: cluster as ClusterUID,
    keeper: keeper as KeeperUID,
    lease:
      lease === null
        ? null
        : {
            db: lease.db as DBUID,
            epoch: lease.epoch as Epoch,
            remaining: millis(lease.remaining),
          },
    serves:
      serves === null || serves === undefined ? serves : { ...serves, db: serves.db as DBUID },
  }
}
// oxlint-enable typescript/no-unsafe-type-assertion
