/**
 * Which infos of pods count. An annotation does not run out, so Go takes what a pod said long ago
 * for fresh after every change of leader, and a leftover pod for the living one (D-89).
 *
 * Here an info runs out when it has not changed for the time that its publisher stated, measured
 * by who looks. Who has just begun to look goes by the stamp beside it, which is from the server's
 * clock and compared with the server's clock; once it was seen to change, the stamp is not asked
 * again, so clocks of several servers that differ can blind nobody for longer than one publish.
 * What Go's components publish has no stamp and does not run out; only its pod's end ends it.
 */
import { createHash } from "node:crypto"
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import { type KubeObject, annotation, stampAnnotation, statusAnnotation } from "./kube-objects.ts"

/** The server's answers name whole seconds, and servers differ a little. */
const tolerance = 3000

const Stamp = v.object({
  of: v.string(),
  ttl: v.number(),
  at: v.optional(v.string(), ""),
})

/** Ties a stamp to what it was made for: Go leaves ours standing beside a new info. */
const fingerprint = (status: string): string =>
  createHash("sha256").update(status).digest("hex").slice(0, 8)

export const stampText = (status: string, ttl: Millis, at: number | null): string =>
  JSON.stringify({
    of: fingerprint(status),
    ttl,
    ...(at === null ? {} : { at: new Date(at).toISOString() }),
  })

/** What is remembered of one pod's info between looks. */
interface Known {
  readonly text: string
  readonly stamp: string
  /** When it was seen first, or seen changed. */
  readonly since: Millis
  readonly changed: boolean
  readonly ttl: number | null
  readonly at: number | null
}

export interface Freshness {
  /** Remembers how a pod looks now. True when its info is another one than before. */
  note(pod: KubeObject, now: Millis): boolean
  forget(pod: KubeObject): boolean
  /** Whether its info counts; `server` is what the server's clock says. */
  counts(pod: KubeObject, now: Millis, server: number | null): boolean
  /** Of two pods that speak for one component: negative, when the first is the one to believe. */
  compare(a: KubeObject, b: KubeObject): number
  /** When the next info runs out, if nothing changes; null: none does. */
  nextEnd(now: Millis): Millis | null
}

export function freshness(): Freshness {
  const known = new Map<string, Known>()
  const keyOf = ({ metadata }: KubeObject): string => `${metadata.name} ${metadata.uid}`
  return {
    note(pod, now) {
      const text = annotation(pod, statusAnnotation) ?? ""
      const stamp = annotation(pod, stampAnnotation) ?? ""
      const before = known.get(keyOf(pod))
      if (before?.text === text && before.stamp === stamp) return false
      const stated = parsed(stamp, text)
      known.set(keyOf(pod), { text, stamp, since: now, changed: before !== undefined, ...stated })
      return before?.text !== text
    },
    forget: (pod) => known.delete(keyOf(pod)),
    counts(pod, now, server) {
      const it = known.get(keyOf(pod))
      if (it === undefined || it.text === "" || isEnded(pod)) return false
      const silent = now - it.since
      const lately = it.changed && silent <= (it.ttl ?? defaultTtl)
      if (!lately && isDeleted(pod, server)) return false
      if (it.ttl === null) return true
      if (silent > it.ttl) return false
      if (it.changed || it.at === null || server === null) return true
      return server - it.at <= it.ttl + tolerance
    },
    compare(a, b) {
      const [one, two] = [known.get(keyOf(a)), known.get(keyOf(b))]
      return (
        Number(two?.changed ?? false) - Number(one?.changed ?? false) ||
        (one?.changed === true ? (two?.since ?? 0) - (one?.since ?? 0) : 0) ||
        (two?.at ?? 0) - (one?.at ?? 0) ||
        born(b) - born(a) ||
        (a.metadata.name < b.metadata.name ? 1 : -1)
      )
    },
    nextEnd(now) {
      const ends = [...known.values()].flatMap(({ ttl, since }) =>
        ttl === null || since + ttl < now ? [] : [since + ttl + 1],
      )
      return ends.length === 0 ? null : millis(Math.min(...ends))
    },
  }
}

/** Go's shortest time to live in stores that have one. */
const defaultTtl = 20_000

function parsed(stamp: string, text: string): Pick<Known, "ttl" | "at"> {
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), Stamp), stamp)
  if (!found.success || found.output.of !== fingerprint(text)) return { ttl: null, at: null }
  const at = Date.parse(found.output.at)
  return { ttl: found.output.ttl, at: Number.isNaN(at) ? null : at }
}

/** Failed, evicted, completed: nothing runs in it any more. */
const isEnded = ({ status }: KubeObject): boolean =>
  status?.phase === "Failed" || status?.phase === "Succeeded"

/** Its grace is over; the object stays when its node is lost. */
function isDeleted({ metadata }: KubeObject, server: number | null): boolean {
  const at = Date.parse(metadata.deletionTimestamp ?? "")
  return !Number.isNaN(at) && server !== null && server - at > tolerance
}

const born = ({ metadata }: KubeObject): number => {
  const at = Date.parse(metadata.creationTimestamp ?? "")
  return Number.isNaN(at) ? 0 : at
}
