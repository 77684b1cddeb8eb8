/**
 * A relay in a process of its own, for the test that lets it run out of descriptors. Ends when
 * its standard input does.
 */
import { millis } from "#base/brand.ts"
import { relay } from "#relay/relay.ts"

const limit = Bun.spawnSync(["sh", "-c", "ulimit -n"]).stdout.toString().trim()
if (limit !== "96") throw new Error(`the limit is ${limit}`)
await using proxy = relay({
  host: "127.0.0.1",
  port: 0,
  dialTimeout: millis(5_000),
  keepalive: { idle: 0, interval: 0, count: 0 },
  hold: { timeout: millis(0), max: 0 },
  max: 0,
  prefaced: false,
})
await proxy.listen()
await proxy.apply({ kind: "forward", host: "127.0.0.1", port: Number(process.argv[2]) })
console.log(proxy.port)
for await (const _ of Bun.stdin.stream()) continue
