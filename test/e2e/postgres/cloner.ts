/**
 * A keeper in the middle of a clone, for a test that kills it: the settings come as JSON, then the
 * source and the slot.
 */
import { openPostgres } from "#postgres/open.ts"
import { realClock } from "#system/clock.ts"

const { settings, from, slot } = JSON.parse(process.argv[2] ?? "{}")
const { signal } = new AbortController()
await using postgres = await openPostgres(
  { ...settings, clock: realClock, log: { event: () => {} } },
  signal,
)
await postgres.run({ kind: "clone", from, slot }, () => {}, signal)
