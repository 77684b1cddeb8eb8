/** Counts of several relays as those of one. */
import { addHistogram, noHistogram } from "#base/histogram.ts"
import type { CutCause, RelayStats } from "#port/relay.ts"

const byCause = (count: (cause: CutCause) => number): RelayStats["cutBy"] => ({
  "led-away": count("led-away"),
  bound: count("bound"),
  overdue: count("overdue"),
  worker: count("worker"),
})

export const noStats: RelayStats = {
  sessions: 0,
  accepted: 0,
  refused: 0,
  dialErrors: 0,
  bytesIn: 0,
  bytesOut: 0,
  held: 0,
  heldTotal: 0,
  holdTimeouts: 0,
  drained: 0,
  cut: 0,
  cutBy: byCause(() => 0),
  dials: noHistogram,
  holds: noHistogram,
}

export const addStats = (a: RelayStats, b: RelayStats): RelayStats => ({
  sessions: a.sessions + b.sessions,
  accepted: a.accepted + b.accepted,
  refused: a.refused + b.refused,
  dialErrors: a.dialErrors + b.dialErrors,
  bytesIn: a.bytesIn + b.bytesIn,
  bytesOut: a.bytesOut + b.bytesOut,
  held: a.held + b.held,
  heldTotal: a.heldTotal + b.heldTotal,
  holdTimeouts: a.holdTimeouts + b.holdTimeouts,
  drained: a.drained + b.drained,
  cut: a.cut + b.cut,
  cutBy: byCause((cause) => a.cutBy[cause] + b.cutBy[cause]),
  dials: addHistogram(a.dials, b.dials),
  holds: addHistogram(a.holds, b.holds),
})

/** Of a relay whose process has died: what was under way was cut. */
export const lastStats = (stats: RelayStats): RelayStats => ({
  ...stats,
  sessions: 0,
  held: 0,
  cut: stats.cut + stats.sessions,
  cutBy: { ...stats.cutBy, worker: stats.cutBy.worker + stats.sessions },
})
