/**
 *   make bench-idle [CASES=etcdv3:100,sqlite:real] [SECONDS=20] [SAMPLES=20] [MARKDOWN=]
 *
 * Builds the executable with a counter in it (`counted.ts`) and measures with that one; nothing
 * else about it is different. The programs of `test/e2e` take the name of the executable when they
 * are loaded, so the bench is loaded after it is named.
 */
import { join } from "node:path"
import { build } from "../../../scripts/build.ts"

const outfile = join(import.meta.dir, "../../../.cache/bench/stolon-counted")
await build({ outfile, entry: join(import.meta.dir, "counted.ts") })
process.env["STOLON_TEST_BINARY"] = outfile
await import("./bench.ts")
