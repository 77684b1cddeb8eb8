/**
 * Changes by etcd's long polls: a question that is answered by the next event at or after an index.
 *
 * etcd remembers a thousand events of the whole store; who asks for an older one begins anew, and
 * wakes, since nobody knows what was missed.
 */
import { type Millis, millis } from "#base/brand.ts"
import { answered, codes, keyPath } from "./etcdv2-text.ts"
import { quorum } from "./etcdv2-keys.ts"
import { type HttpPool, type HttpRequest, refusal } from "./http-pool.ts"

/** A member that stands still is noticed after this, and a quiet one is asked again. */
const longest = millis(10_000)
const pauses = { first: 100, most: 2_000 }

/** Resolves when `signal` aborts. */
export async function watch(
  etcd: HttpPool,
  prefixes: readonly string[],
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  let missing = prefixes.length
  const stands = (): void => {
    if (--missing === 0) changed()
  }
  const wake = (): void => {
    if (missing === 0) changed()
  }
  await Promise.all(prefixes.map((prefix) => follow(etcd, prefix, stands, wake, signal)))
}

async function follow(
  etcd: HttpPool,
  prefix: string,
  stands: () => void,
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  const path = keyPath(prefix.replace(/\/+$/, ""))
  let next: bigint | null = null
  let stood = false
  let pause = pauses.first
  while (!signal.aborted) {
    try {
      if (next === null) {
        next = await indexNow(etcd, path, signal)
        if (stood) changed()
        else stands()
        stood = true
      }
      const after = await nextEvent(etcd, path, next, signal)
      pause = pauses.first
      if (after === "quiet") continue
      if (after !== "cleared") changed()
      next = after === "cleared" ? null : after
    } catch {
      if (signal.aborted) return
      next = null
      await etcd.clock.sleep(nap(pause), signal).catch(() => {})
      pause = Math.min(2 * pause, pauses.most)
    }
  }
}

/** The first index that nobody here has seen. */
async function indexNow(etcd: HttpPool, path: string, signal: AbortSignal): Promise<bigint> {
  const request: HttpRequest = { method: "GET", path, query: quorum }
  const reply = await etcd.ask(request, signal)
  answered(request, reply)
  if (reply.index === null) throw refusal(request, reply)
  return reply.index + 1n
}

/** The index after the event; `quiet`: there was none for a while. */
async function nextEvent(
  etcd: HttpPool,
  path: string,
  from: bigint,
  signal: AbortSignal,
): Promise<bigint | "quiet" | "cleared"> {
  const query = { wait: "true", recursive: "true", waitIndex: String(from) }
  const request: HttpRequest = { method: "GET", path, query }
  const reply = await etcd.poll(request, longest, signal)
  if (reply.body === "") return "quiet"
  const answer = answered(request, reply)
  if (answer.kind === "node") return BigInt(answer.node.modifiedIndex ?? 0) + 1n
  if (answer.code === codes.cleared) return "cleared"
  throw refusal(request, reply)
}

/** Uneven: who was cut off together does not come back together. */
const nap = (pause: number): Millis => millis(pause * (0.5 + Math.random()))
