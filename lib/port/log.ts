/** Where events go: logs, counters, and in tests an array. Never blocks, never throws (T14). */
import type { Event } from "#model/events.ts"

export interface Log {
  event(event: Event): void
}
