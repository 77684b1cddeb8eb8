/**
 * The guardian's brain: when to end PostgreSQL, how hard, and when to end itself. A function of
 * what is running, what it remembers and the boot clock; it has no process, no timer and no socket
 * (protocol part 1).
 *
 * The promise behind it (P1): at `until` nothing of PostgreSQL is alive, whoever hangs or is dead.
 * So the stop begins a lead before, gently, and its last stage needs nobody's consent. A guardian
 * that was frozen past all stages goes to the last one at once. Asked stops climb the same ladder
 * at the pace that was asked for; whichever ladder is further ahead counts.
 */
import { type Millis, millis } from "#base/brand.ts"

/** How the port calls them too (`port/supervision.ts`); a brain knows no port. */
export type StopMode = "fast" | "immediate"

/** What runs at one moment. Zombies do not count. */
export interface Facts {
  readonly postmaster: boolean
  /**
   * Whether other processes of the instance live. Looked for only when a stop is under way or the
   * postmaster is gone.
   */
  readonly others: boolean
  /**
   * How the postmaster went, once it is gone: in good order, or torn out so that nobody ended its
   * children.
   */
  readonly departure: "orderly" | "torn"
}

export interface Memory {
  /** PostgreSQL may run until here; and from when that has been known. */
  readonly until: Millis
  readonly heldAt: Millis
  /**
   * The ladder of a stop that somebody asked for or that the deadline began; null while PostgreSQL
   * may run.
   */
  readonly stop: Stop | null
  /** The last stage whose signal was sent to this postmaster. */
  readonly sent: Stage | null
  /** When the postmaster was first seen gone with others left behind. */
  readonly leftAt: Millis | null
  /** End once nothing runs. */
  readonly ending: boolean
}

/** The moments at which a stop becomes harder. */
interface Ladder {
  readonly fast: Millis
  readonly immediate: Millis
  readonly kill: Millis
}

interface Stop extends Ladder {
  readonly why: "asked" | "deadline"
}

export type Stage = "fast" | "immediate" | "kill"

export type Action =
  /** SIGINT or SIGQUIT to the postmaster, which passes it on as it sees fit. */
  | { readonly kind: "signal"; readonly stage: "fast" | "immediate"; readonly why: Why }
  /**
   * SIGKILL to the postmaster, then to everything of the instance; repeated until nothing is left.
   */
  | { readonly kind: "kill"; readonly why: Why }
  | { readonly kind: "end" }

export type Why = "asked" | "deadline" | "orphans"

export interface Decision {
  readonly actions: readonly Action[]
  readonly memory: Memory
  /** When to decide again if nothing happens before. */
  readonly wake: Millis
}

/**
 * The deadline stop begins this long before the deadline, or a quarter of the time held, whichever
 * is shorter.
 */
export const leadMax = millis(600)
/**
 * From SIGQUIT to SIGKILL in a stop that was asked for; PostgreSQL itself kills its children after
 * 5 s of SIGQUIT.
 */
export const killAfter = millis(6_000)
/** For what an orderly postmaster leaves running: its log collector, an archive command. */
export const orphanGrace = millis(1_000)
/**
 * Between looks while nothing happens. Short, because timers of the event loop stand still while
 * the machine sleeps.
 */
export const idleTick = millis(100)
/** Between looks while something is being ended. */
export const busyTick = millis(10)

export const firstMemory = (now: Millis, until: Millis): Memory => ({
  until,
  heldAt: now,
  stop: null,
  sent: null,
  leftAt: null,
  ending: false,
})

/**
 * "PostgreSQL may run until `until`." The last word counts, later or earlier; a stop under way is
 * not taken back.
 */
export const hold = (memory: Memory, until: Millis, now: Millis): Memory => ({
  ...memory,
  until,
  heldAt: now,
})

/** A stop was asked for. Asked twice, each stage comes at the earlier of its two times. */
export function askStop(
  memory: Memory,
  mode: StopMode,
  escalateAfter: Millis,
  now: Millis,
): Memory {
  const immediate = mode === "immediate" ? now : millis(now + escalateAfter)
  const asked: Stop = { fast: now, immediate, kill: millis(immediate + killAfter), why: "asked" }
  return { ...memory, stop: memory.stop === null ? asked : earlier(memory.stop, asked) }
}

/** As `askStop`, and then the guardian ends. */
export const askEnd = (memory: Memory, escalateAfter: Millis, now: Millis): Memory => ({
  ...askStop(memory, "fast", escalateAfter, now),
  ending: true,
})

/** A new postmaster was started: what was sent to the one before means nothing to it. */
export const started = (memory: Memory): Memory => ({
  ...memory,
  stop: null,
  sent: null,
  leftAt: null,
})

export function decide(facts: Facts, memory: Memory, now: Millis): Decision {
  if (!facts.postmaster && !facts.others) return idle(memory, now)
  if (!facts.postmaster) return orphans(facts, memory, now)
  return running(memory, now)
}

function idle(before: Memory, now: Millis): Decision {
  const memory = { ...started(before) }
  const end = before.ending || now >= before.until
  return { actions: end ? [{ kind: "end" }] : [], memory, wake: soon(now, before.until) }
}

/** Backends without a postmaster go on acknowledging until they happen to look; they must not. */
function orphans(facts: Facts, memory: Memory, now: Millis): Decision {
  const leftAt = memory.leftAt ?? now
  const grace = facts.departure === "torn" ? 0 : orphanGrace
  const limit = Math.min(leftAt + grace, ladderOf(memory.until, memory.heldAt).kill)
  const kill = now >= Math.min(limit, memory.stop?.kill ?? limit)
  return {
    actions: kill ? [{ kind: "kill", why: "orphans" }] : [],
    memory: { ...memory, leftAt },
    wake: millis(now + busyTick),
  }
}

function running(before: Memory, now: Millis): Decision {
  const lease = ladderOf(before.until, before.heldAt)
  const due = stageAt(lease, now)
  // Once begun, a deadline stop goes on even if a hold arrives in the middle: PostgreSQL cannot be
  // called back.
  const stop =
    due === null ? before.stop : earlier(before.stop ?? { ...lease, why: "deadline" }, lease)
  const stage = stop === null ? null : stageAt(stop, now)
  const memory: Memory = { ...before, stop, leftAt: null, sent: harder(before.sent, stage) }
  const actions = stage === null ? [] : act(stage, before.sent, stop?.why ?? "deadline")
  const next = millis(Math.min(nextStage(lease, now), nextStage(stop ?? lease, now)))
  return { actions, memory, wake: stage === "kill" ? millis(now + busyTick) : soon(now, next) }
}

function act(stage: Stage, sent: Stage | null, why: Why): readonly Action[] {
  if (stage === "kill") return [{ kind: "kill", why }]
  return rank(stage) > rank(sent) ? [{ kind: "signal", stage, why }] : []
}

/**
 * The stages before a deadline: fast for most of the lead, then immediate, then kill so that it is
 * done in time.
 */
export function ladderOf(until: Millis, heldAt: Millis): Ladder {
  const lead = Math.max(0, Math.min(leadMax, (until - heldAt) / 4))
  return {
    fast: millis(until - lead),
    immediate: millis(until - lead / 3),
    kill: millis(until - lead / 10),
  }
}

function stageAt(ladder: Ladder, now: Millis): Stage | null {
  if (now >= ladder.kill) return "kill"
  if (now >= ladder.immediate) return "immediate"
  return now >= ladder.fast ? "fast" : null
}

const earlier = (a: Stop, b: Ladder): Stop => ({
  why: a.why,
  fast: millis(Math.min(a.fast, b.fast)),
  immediate: millis(Math.min(a.immediate, b.immediate)),
  kill: millis(Math.min(a.kill, b.kill)),
})

const stages: readonly Stage[] = ["fast", "immediate", "kill"]
const rank = (stage: Stage | null): number => (stage === null ? -1 : stages.indexOf(stage))
const harder = (a: Stage | null, b: Stage | null): Stage | null => (rank(b) > rank(a) ? b : a)

const nextStage = (ladder: Ladder, now: Millis): Millis =>
  [ladder.fast, ladder.immediate, ladder.kill].find((time) => time > now) ?? now

const soon = (now: Millis, next: Millis): Millis =>
  millis(Math.min(now + idleTick, Math.max(next, now + 1)))
