/**
 * Whether clients can write: one committed transaction through the proxy, as a client would do it.
 * In synchronous mode the commit waits for a standby, so a yes means that too.
 */
import { readFile } from "node:fs/promises"
import { millis } from "#base/brand.ts"
import { newSession } from "#postgres/session.ts"
import { realClock } from "#system/clock.ts"
import { type Place, host, superuser } from "./dev-place.ts"

/** How long one try may take before it counts as a no. */
const timeout = millis(2_000)

export async function canWrite(place: Place, signal: AbortSignal): Promise<boolean> {
  const session = newSession(
    {
      at: { host, port: place.port },
      user: superuser,
      password: await readFile(place.superuserFile, "utf8"),
      database: "postgres",
      parameters: { application_name: "stolon dev" },
    },
    realClock,
    timeout,
  )
  try {
    // A transaction id has to be given out, so the commit is written and waited for.
    await session.run("select txid_current()", signal)
    return true
  } catch {
    return false
  } finally {
    session.close()
  }
}
