/**
 * The client whose view counts, the same for every system: one session that writes a row every 10
 * ms in a transaction of its own, and after an error connects again at the next of these moments.
 * It remembers which rows were acknowledged and when, and sorts what it was told otherwise:
 *
 *   told     57P01 in answer to BEGIN, or before it: no transaction had begun, connect again
 *   failed   any other error, silence included: the application has to find out what became of it
 *   refused  an attempt to connect that failed; no transaction had begun either
 *
 * It never counts a commit whose wait for the standby was cancelled.
 */
import { setTimeout as pause } from "node:timers/promises"
import { type Failure, type Wire, connectWire } from "./wire.ts"

/** One pace, one patience for every system. */
export const everyMs = 10
export const patienceMs = 1_000
/** While an attempt to connect hangs, another one is made beside it this much later. */
const besideMs = 100
export const role = "bench"
export const database = "postgres"
export const table = "bench_rows"

export interface Counts {
  readonly failed: number
  readonly told: number
  readonly refused: number
}

export interface Client {
  readonly acknowledged: ReadonlySet<number>
  counts(): Counts
  /** What failed, in the server's words, with how often. */
  troubles(): Readonly<Record<string, number>>
  /** Longest time between two acknowledgements since `from` (`performance.now()`). */
  longestGapMs(from: number): number
  /** When the first row was acknowledged that was begun after `from`; null before. */
  firstAfter(from: number): number | null
  /** When the longest gap since `from` ended; null while it lasts. */
  gapEnd(from: number): number | null
  stop(): Promise<void>
}

interface Ack {
  readonly begun: number
  readonly at: number
}

/**
 * Dials until somebody answers; null when aborted. An attempt that hangs does not keep the next
 * from being made, so that what is measured is the system and not the patience of the client.
 */
async function dialled(
  port: number,
  refused: (why: Failure) => void,
  signal: AbortSignal,
): Promise<Wire | null> {
  const victory = Promise.withResolvers<void>()
  let pending = 0
  let won: Wire | null = null
  const attempt = async (): Promise<void> => {
    pending++
    const made = await connectWire({ port, user: role, database }, patienceMs)
    pending--
    if (!("query" in made)) {
      if (won === null) refused(made)
    } else if (won === null) {
      won = made
      victory.resolve()
    } else made.end()
  }
  let last = -besideMs
  while (won === null && !signal.aborted) {
    const now = performance.now()
    if (pending === 0 || now - last >= besideMs) {
      last = now
      void attempt()
    }
    await Promise.race([pause(everyMs), victory.promise])
  }
  return won
}

export function startClient(port: number, firstId: number): Client {
  const acknowledged = new Set<number>()
  const acks: Ack[] = []
  const counts = { failed: 0, told: 0, refused: 0 }
  const troubles: Record<string, number> = {}
  const stopped = new AbortController()

  const count = (what: keyof Counts, { code, text }: Failure): false => {
    counts[what]++
    const trouble = `${what}: ${code === "" ? "" : `${code} `}${text}`
    troubles[trouble] = (troubles[trouble] ?? 0) + 1
    return false
  }
  const write = async (wire: Wire, id: number): Promise<boolean> => {
    const begun = performance.now()
    const begin = await wire.query("begin", patienceMs)
    if (begin.kind === "failed")
      return count(begin.failure.code === "57P01" ? "told" : "failed", begin.failure)
    const insert = await wire.query(`insert into ${table} values (${id})`, patienceMs)
    if (insert.kind === "failed") return count("failed", insert.failure)
    const commit = await wire.query("commit", patienceMs)
    if (commit.kind === "failed") return count("failed", commit.failure)
    if (commit.notices.length > 0)
      return count("failed", { code: "", text: commit.notices.join("; ") })
    acknowledged.add(id)
    acks.push({ begun, at: performance.now() })
    return true
  }
  const run = async (): Promise<void> => {
    let wire: Wire | null = null
    let due = performance.now()
    for (let id = firstId; !stopped.signal.aborted;) {
      await pause(Math.max(0, due - performance.now()))
      due = Math.max(due + everyMs, performance.now())
      wire ??= await dialled(port, (why) => count("refused", why), stopped.signal)
      if (wire === null || (await write(wire, id++))) continue
      wire.end()
      wire = null
    }
    wire?.end()
  }
  const running = run()
  const gaps = (from: number): readonly { readonly ms: number; readonly end: number | null }[] => {
    const points = [from, ...acks.filter(({ at }) => at > from).map(({ at }) => at)]
    const last = points.at(-1) ?? from
    return [
      ...points.slice(1).map((end, i) => ({ ms: end - (points[i] ?? end), end })),
      { ms: performance.now() - last, end: null },
    ]
  }
  const longest = (from: number): { readonly ms: number; readonly end: number | null } =>
    gaps(from).reduce((most, each) => (each.ms > most.ms ? each : most))
  return {
    acknowledged,
    counts: () => ({ ...counts }),
    troubles: () => ({ ...troubles }),
    longestGapMs: (from) => longest(from).ms,
    gapEnd: (from) => longest(from).end,
    firstAfter: (from) => acks.find(({ begun }) => begun > from)?.at ?? null,
    stop: async () => {
      stopped.abort()
      await running
    },
  }
}
