/**
 * The sentinel's loop on a store and a clock that are driven by hand: what every sentinel does,
 * leading or not. What a leader decides is tested without a loop.
 */
import { expect, test } from "bun:test"
import { runSentinel } from "#agent/sentinel.ts"
import type { Millis } from "#base/brand.ts"
import { duration } from "#base/duration.ts"
import { type ClusterData, encodeClusterData, newClusterData } from "#model/cluster.ts"
import { zeroTime } from "#model/codec.ts"
import type { ClusterUID, SentinelUID } from "#model/ids.ts"
import { type Spec, emptySpec } from "#model/spec.ts"
import type { Expected, Reading, Store, Version } from "#port/store.ts"
import { handClock } from "#test/unit/proxy/world.ts"

const uid = "7e3a91d2" as SentinelUID // ids that only a test chooses
const version = "1" as Version
const found = (spec: Partial<Spec>): Reading => ({
  kind: "found",
  data: newClusterData(
    "5d8a1c0e" as ClusterUID,
    { ...emptySpec, initMode: "new", ...spec },
    zeroTime,
  ),
  version,
})
const absent = (value: Version | null): Reading => ({ kind: "absent", version: value })

/** A sentinel that stands for election and is never elected. */
function follower(first: Reading, initialSpec: Spec | null = null) {
  const stop = new AbortController()
  const hand = handClock()
  const seen = {
    reading: first,
    reads: 0,
    ttls: [] as Millis[],
    writes: [] as { readonly data: ClusterData; readonly expected: Expected }[],
  }
  const never = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      const end = (): void => reject(new DOMException("aborted", "AbortError"))
      signal.addEventListener("abort", end, { once: true })
    })
  const unused = (): never => {
    throw new Error("no follower does this")
  }
  const store: Store = {
    async read() {
      seen.reads++
      return seen.reading
    },
    async publish(what, ttl) {
      expect(what).toMatchObject({ kind: "sentinel", info: { UID: uid } })
      seen.ttls.push(ttl)
    },
    async write(data, expected) {
      seen.writes.push({ data, expected })
      seen.reading = { kind: "found", data, version }
      return { kind: "written", version }
    },
    async infos() {
      return { keepers: new Map(), sentinels: new Map(), proxies: new Map(), broken: [] }
    },
    watch: (_, __, signal) => never(signal),
    campaign: (_, signal) => never(signal),
    withdraw: unused,
    leader: unused,
    unseat: unused,
    [Symbol.asyncDispose]: async () => {},
  }
  const chance = { seed: () => 7, uid: () => uid, uuid: () => "unused" }
  const running = runSentinel(
    { store, clock: hand.clock, chance, log: { event: () => {} } },
    { uid, initialSpec, report: () => {} },
    stop.signal,
  )
  return {
    seen,
    advance: hand.advance,
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await hand.advance(1)
      await running
    },
  }
}

test("a sentinel that does not lead writes its initial specification where there is no key, once", async () => {
  const spec = { ...emptySpec, initMode: "new", failInterval: duration(7_000) } as const
  await using one = follower(absent(null), spec)
  await one.advance(60_000)
  expect(one.seen.writes.map(({ expected }) => expected)).toEqual([{ kind: "absent" }])
  const { cluster } = JSON.parse(encodeClusterData(one.seen.writes[0]!.data))
  expect(cluster).toMatchObject({
    uid: expect.stringMatching(/^[0-9a-f]{8}$/),
    generation: 1,
    spec: { initMode: "new", failInterval: "7s" },
    status: { phase: "initializing" },
  })
})

test("an initial specification is not written over cluster data, nor over JSON null (G10)", async () => {
  const spec = { ...emptySpec, initMode: "new" } as const
  for (const reading of [found({}), absent(version)]) {
    await using one = follower(reading, spec)
    await one.advance(60_000)
    expect(one.seen.reads).toBeGreaterThan(5)
    expect(one.seen.writes).toEqual([])
  }
})

test("every sentinel looks and publishes once in a sleepInterval, and adopts a changed one", async () => {
  await using one = follower(found({}))
  const during = async (ms: number): Promise<readonly [number, number]> => {
    const [reads, publishes] = [one.seen.reads, one.seen.ttls.length]
    await one.advance(ms)
    return [one.seen.reads - reads, one.seen.ttls.length - publishes]
  }
  await during(20_000)
  expect(await during(50_200)).toEqual([10, 10])
  one.seen.reading = found({ sleepInterval: duration(25_000) })
  await during(30_000)
  expect(await during(100_080)).toEqual([4, 4])
})

test("a sentinel's info lives for 20 s, and for two sleepIntervals when these are longer", async () => {
  await using one = follower(found({}))
  await one.advance(1)
  one.seen.reading = found({ sleepInterval: duration(25_000) })
  await one.advance(60_000)
  expect([one.seen.ttls[0], one.seen.ttls.at(-1)]).toEqual([20_000, 50_000] as never)
})
