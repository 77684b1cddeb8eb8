/** A process with an endpoint, for tests that kill it; says its address. */
import { endpoint } from "./world.ts"

const opened = await endpoint(null)
process.stdout.write(`${opened.address}\n`)
setInterval(() => undefined, 60_000)
