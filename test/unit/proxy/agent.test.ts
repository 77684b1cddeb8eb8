/**
 * The proxy's loops against a store and a data plane that are driven by hand, on a clock that
 * moves when told. What is compared is the journal: the order in which the world was touched.
 */
import { expect, test } from "bun:test"

import { type ProxyPorts, runProxy } from "#agent/proxy.ts"
import { type Millis, millis } from "#base/brand.ts"
import { infoUID } from "#model/ids.ts"
import type { Clock } from "#port/clock.ts"
import type { Relay } from "#port/relay.ts"
import { type Reading, type Store, StoreError } from "#port/store.ts"

import { at, self, timing } from "./builder.ts"
import { reading, settle, world } from "./world.ts"

const held = <T>() => Promise.withResolvers<T>()
const told = "publish 3 15s ttl 30s"

test("runProxy() publishes, listens, forwards; goes on publishing; ends with cut, unlisten, withdraw", async () => {
  const w = world()
  await w.advance(0)
  expect(w.journal()).toEqual([told, "listen", "forward 10.0.0.11:5432"])
  await w.advance(5_000)
  expect(w.journal()).toEqual([told])
  expect(w.events()).toEqual(["proxy.listening", "proxy.forwarding"])
  expect(await w.end()).toEqual(["cut", "unlisten", `withdraw proxy ${self}`])
})

test("runProxy() publishes a generation only after the data plane has finished cutting (G9)", async () => {
  const w = world()
  await w.advance(0)
  w.journal()
  const cutting = held<void>()
  w.answers.apply = () => cutting.promise
  w.answers.read = async () => reading({ master: "", generation: 4 })
  w.ring() // the store's watch, not the interval, wakes the check
  await w.advance(3_000)
  expect(w.journal()).toEqual([])
  cutting.resolve()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut", "publish 4 15s ttl 30s"])
  await w.end()
})

test("runProxy() tries a port that it cannot have again at every check, and opens when it gets it", async () => {
  const w = world()
  let tries = 0
  w.answers.listen = async () => {
    tries++
    throw new Error("address in use")
  }
  await w.advance(60_000)
  expect(tries).toBeGreaterThan(10)
  expect(w.journal()).not.toContain("forward 10.0.0.11:5432")
  w.answers.listen = async () => {}
  await w.advance(5_000)
  expect(w.journal().slice(-2)).toEqual(["listen", "forward 10.0.0.11:5432"])
  await w.end()
})

test("runProxy() stays closed while the new generation cannot be published (X9)", async () => {
  const w = world()
  await w.advance(0)
  w.journal()
  w.answers.read = async () => reading({ host: "10.0.0.12", generation: 5 })
  w.answers.publish = async () => Promise.reject(new StoreError("unavailable", "no quorum"))
  w.ring()
  await w.advance(6_000)
  expect(w.journal()).toEqual(["cut"])
  w.answers.publish = async () => {}
  await w.advance(5_000)
  expect(w.journal()).toEqual(["publish 5 15s ttl 30s", "forward 10.0.0.12:5432"])
  expect(w.events().filter((code) => code.startsWith("store."))).toEqual([
    "store.failed",
    "store.recovered",
  ])
  await w.end()
})

test("runProxy() cuts after proxyTimeout although a read hangs, and its late answer opens nothing (7.2)", async () => {
  const w = world()
  await w.advance(0)
  w.journal()
  const late = held<Reading>()
  w.answers.read = () => late.promise
  await w.advance(14_999)
  expect(w.journal()).toEqual([])
  await w.advance(1)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  late.resolve(reading())
  w.answers.read = () => held<Reading>().promise
  await w.advance(1_000)
  expect(w.journal()).toEqual([])
  expect(w.events()).toContain("proxy.timeout")
})

test("runProxy() opens again after the timeout, by a view read after it was heard again", async () => {
  const w = world()
  await w.advance(0)
  w.answers.read = async () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(30_000)
  w.journal()
  let reads = 0
  w.answers.read = async () => {
    reads++
    return reading()
  }
  await w.advance(5_000)
  // A leader that had given this proxy up may have closed the gate before the first of the two.
  expect(w.journal()).toEqual([told, told, "listen", "forward 10.0.0.11:5432"])
  expect(reads).toBe(2)
  await w.end()
})

test("D-14 runProxy() with --stop-listening=false keeps the listener, and a publish that hung re-opens nothing", async () => {
  const w = world({ stopListening: false })
  await w.advance(0)
  w.journal()
  const slow = held<void>()
  w.answers.publish = () => slow.promise
  w.answers.read = async () => reading({ host: "10.0.0.12" })
  await w.advance(5_000)
  expect(w.journal()).toEqual(["cut"])
  await w.advance(10_500) // the timeout is over, while this check's read is younger than that
  slow.resolve()
  w.answers.publish = async () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(10_000)
  expect(w.journal()).toEqual([told])
  await w.end()
})

test("D-14 runProxy() neither publishes nor opens by a view that a suspended machine read long ago", async () => {
  const w = world({ first: reading({ master: "", generation: 2 }) })
  await w.advance(0)
  expect(w.journal()).toEqual(["publish 2 15s ttl 30s", "listen"])
  const old = held<Reading>()
  w.answers.read = () => old.promise
  w.ring()
  await w.advance(0)
  w.jump(60_000)
  old.resolve(reading())
  w.answers.read = async () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(0)
  expect(w.journal()).toEqual(["unlisten"])
  await w.end()
})

test("runProxy() cuts what it forwarded as soon as a suspended machine runs again, without waiting for a timer", async () => {
  const w = world()
  await w.advance(0)
  w.journal()
  const old = held<Reading>()
  w.answers.read = () => old.promise
  w.ring()
  await settle()
  w.jump(60_000)
  old.resolve(reading())
  await settle()
  await settle()
  expect(w.journal()).toEqual(["cut", "unlisten"])
  await w.end()
})

test("runProxy() aborts a check that is under way when the timeout is over, whatever it finds", async () => {
  const w = world()
  await w.advance(0)
  w.journal()
  const slow = held<Reading>()
  w.answers.read = () => slow.promise
  await w.advance(15_000)
  expect(w.journal()).toEqual(["cut", "unlisten"])
  slow.resolve(reading())
  w.answers.read = () => held<Reading>().promise
  await w.advance(3_000) // before the next check: the read was 10 s old, but its check is no more
  expect(w.journal()).toEqual([])
})

test("runProxy() cuts before it looks again when it was suspended while it published", async () => {
  const w = world()
  await w.advance(5_000)
  w.journal()
  w.answers.publish = async () => {
    w.jump(11_000)
    w.answers.publish = async () => {}
  }
  await w.advance(5_000)
  const again = [told, "listen", "forward 10.0.0.11:5432"]
  expect(w.journal().slice(0, 6)).toEqual([told, "cut", "unlisten", ...again])
  await w.end()
})

test("runProxy() drops a check that was overtaken by the timeout, however young its read", async () => {
  const w = world({ first: reading({ spec: timing(1_000, 3_000) }) })
  await w.advance(0) // publishes 15 s, which a leader goes by, and adopts 3 s
  const slow = held<void>()
  w.answers.publish = () => slow.promise
  w.answers.read = async () => reading({ host: "10.0.0.12", spec: timing(1_000, 3_000) })
  await w.advance(3_500)
  w.journal()
  slow.resolve()
  w.answers.publish = () => held<void>().promise
  await w.advance(400)
  expect(w.journal()).toEqual(["publish 3 3s ttl 20s"])
})

test("runProxy() opens nothing when a publish is answered after the end has begun", async () => {
  const w = world({ first: reading({ master: "" }) })
  await w.advance(0)
  const slow = held<void>()
  w.answers.publish = () => slow.promise
  w.answers.read = async () => reading()
  w.ring()
  await w.advance(0)
  const ended = w.end()
  slow.resolve()
  expect(await ended).toEqual([told, "cut", "unlisten", `withdraw proxy ${self}`])
})

test("runProxy() judges the age of a read by the shorter of two timeouts", async () => {
  const first = reading({ master: "" })
  const w = world({ first })
  await w.advance(0)
  w.journal()
  const slow = held<Reading>()
  w.answers.read = () => slow.promise
  w.ring()
  await w.advance(4_000)
  slow.resolve(reading({ spec: timing(1_000, 3_000) }))
  w.answers.read = () => held<Reading>().promise
  await w.advance(100)
  expect(w.journal()).toEqual([])
  expect(w.events()).toContain("proxy.stale")
})

test("runProxy() takes a destination back when it was suspended while opening it", async () => {
  const w = world()
  w.answers.apply = async () => w.jump(20_000)
  await w.advance(0)
  expect(w.journal().slice(0, 4)).toEqual([told, "listen", "forward 10.0.0.11:5432", "cut"])
  await w.end()
})

test("runProxy() leaves clients alone by a malformed document until proxyTimeout, and cuts at once by another format", async () => {
  const w = world()
  await w.advance(0)
  w.journal()
  w.answers.read = async () =>
    Promise.reject(new StoreError("malformed", "proxy: is missing or null"))
  await w.advance(14_999)
  expect(w.journal()).toEqual([])
  expect(w.events().filter((code) => code === "view.malformed")).toHaveLength(1)
  w.answers.read = async () => reading()
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual([told])
  w.answers.read = async () => Promise.reject(new StoreError("format", "formatVersion 2"))
  w.ring()
  await w.advance(0)
  expect(w.journal()).toEqual(["cut"])
  await w.end()
})

test("runProxy() ends while a check hangs: sessions are cut first, and nothing is opened after", async () => {
  const w = world()
  await w.advance(0)
  w.answers.read = async (signal) => {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    return reading({ host: "10.0.0.12" })
  }
  await w.advance(6_000)
  expect(await w.end()).toEqual(["cut", "unlisten", `withdraw proxy ${self}`])
})

const idle = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener("abort", () => resolve())
  })

test("runProxy() publishes a new infoUID, its capability and its address", async () => {
  const published: unknown[] = []
  let uids = 0
  const stop = new AbortController()
  const done = held<void>()
  const store: Partial<Store> = {
    read: async () => reading(),
    publish: async (what) => {
      published.push(what)
      done.resolve()
    },
    withdraw: async () => {},
    watch: (_what, _changed, signal) => idle(signal),
  }
  const relay: Partial<Relay> = {
    listening: true,
    apply: async () => "done",
    allow: () => {},
    unlisten: async () => {},
  }
  const clock: Clock = {
    now: () => at(5),
    sleep: (_ms: Millis, signal) => idle(signal),
    deadline: (_ms, signal) => signal,
  }
  const ports = {
    store,
    relay,
    clock,
    chance: { seed: () => 1, uid: () => `0000000${uids++}`, uuid: () => "" },
    log: { event: () => {} },
  }
  // Only what a proxy may touch is there; anything else would throw.
  const ended = runProxy(
    ports as unknown as ProxyPorts,
    { stopListening: true, listenAddress: "h:1" },
    stop.signal,
  )
  await done.promise
  stop.abort()
  await ended
  expect(published).toEqual([
    {
      kind: "proxy",
      info: {
        infoUID: infoUID("00000001"),
        UID: "00000000",
        Generation: 3,
        ProxyTimeout: millis(15_000_000_000),
        capabilities: ["bounded-view", "switchover"],
        listenAddress: "h:1",
      },
    },
  ])
})
