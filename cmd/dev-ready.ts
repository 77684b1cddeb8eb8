/**
 * Whether clients can write: one committed transaction through the proxy, as a client would do it.
 * In synchronous mode the commit waits for a standby, so a yes means that too.
 */
import postgres from "postgres"
import { readFile } from "node:fs/promises"
import { type Place, host, superuser } from "./dev-place.ts"

/** How long one try may take before it counts as a no. */
const tryMs = 2_000

export async function canWrite(place: Place): Promise<boolean> {
  const sql = postgres({
    host,
    port: place.port,
    user: superuser,
    password: await readFile(place.superuserFile, "utf8"),
    database: "postgres",
    max: 1,
    connect_timeout: tryMs / 1000,
    fetch_types: false,
    onnotice: () => {},
    connection: { application_name: "stolon dev" },
  })
  const late = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => late.resolve(false), tryMs)
  try {
    // A transaction id has to be given out, so the commit is written and waited for.
    const written = sql`select txid_current()`.then(() => true)
    written.catch(() => {}) // lost interest is no unhandled error
    return await Promise.race([written, late.promise])
  } catch {
    return false
  } finally {
    clearTimeout(timer)
    await sql.end({ timeout: 0 })
  }
}
