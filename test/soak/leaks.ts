/**
 * When it is a leak. Descriptors are exact: once all clients are gone a process has as many as it
 * had before them. Memory is not: an allocator keeps what it once needed, so it may grow for a
 * while, and what counts is that the end of a soak needs no more than its beginning did.
 *
 * Pure.
 */
import { byNumber } from "#base/order.ts"
import type { Held } from "./gauge.ts"

type Holding = Pick<Held, "pids" | "descriptors">

/** Null: as many processes as there were, and none has more than the one in its place had. */
export function leftBehind(before: Holding, now: Holding): string | null {
  if (now.pids.length !== before.pids.length)
    return `${now.pids.length} processes instead of ${before.pids.length}`
  const more = now.descriptors.some((count, i) => count > (before.descriptors[i] ?? 0))
  return more
    ? `${now.descriptors.join(" + ")} descriptors instead of ${before.descriptors.join(" + ")}`
    : null
}

/** How many processes took the place of one that has gone. */
export const replaced = (before: Holding, now: Holding): number =>
  now.pids.filter((pid) => !before.pids.includes(pid)).length

/** A garbage collector's whims, on top of a share of what there was. */
const slackMegabytes = 24
const slackShare = 0.25

export interface Growth {
  /** Medians of the first and the last third, in megabytes. */
  readonly first: number
  readonly last: number
  readonly grown: boolean
}

/** Of samples in the order of their time. */
export function growth(samples: readonly number[]): Growth {
  const third = Math.max(1, Math.floor(samples.length / 3))
  const [first, last] = [middle(samples.slice(0, third)), middle(samples.slice(-third))]
  return { first, last, grown: last > first * (1 + slackShare) + slackMegabytes }
}

const middle = (numbers: readonly number[]): number =>
  numbers.toSorted(byNumber)[Math.floor(numbers.length / 2)] ?? 0
