/** What clients may take each keeper for, and when a platform hears of it. */
import { describe, expect, test } from "bun:test"
import { runSentinel } from "#agent/sentinel.ts"
import type { Millis } from "#base/brand.ts"
import type { SentinelUID } from "#model/ids.ts"
import type { Event } from "#model/events.ts"
import type { Store, Version } from "#port/store.ts"
import { rolesOf } from "#sentinel/roles.ts"
import { handClock } from "#test/unit/proxy/world.ts"
import { type World, world } from "./world.ts"

const three = (): World => world().keeper("k1", "k2", "k3").proxy("p1").settled()
const roles = (w: World): Readonly<Record<string, string>> => Object.fromEntries(rolesOf(w.data))

describe("rolesOf()", () => {
  test("names the primary that the gate leads to, and the standbys", () => {
    expect(roles(three())).toEqual({ k1: "primary", k2: "standby", k3: "standby" })
  })

  test("names no primary while the gate is closed, and never two on the way to the next", () => {
    const w = three()
    w.set("k1", { alive: false, postgres: false })
    const primaries: string[] = []
    w.until(() => {
      const found = Object.entries(roles(w)).filter(([, role]) => role === "primary")
      expect(found.length).toBeLessThan(2)
      primaries.push(found[0]?.[0] ?? "")
      return w.gate() !== "" && w.gate() !== "k1"
    })
    expect(primaries).toContain("")
    expect(primaries.at(-1)).toBe(w.gate())
    expect(primaries.lastIndexOf("k1")).toBeLessThan(primaries.indexOf(""))
  })
})

describe("a leading sentinel", () => {
  const uid = "7e3a91d2" as SentinelUID // an id that only a test chooses

  async function led(announce: NonNullable<Store["announce"]>) {
    const { data } = three()
    const acts: string[] = []
    const log: Event[] = []
    const hand = handClock()
    const clock = { ...hand.clock, deadline: (ms: Millis, signal: AbortSignal) => late(ms, signal) }
    const late = (ms: Millis, signal: AbortSignal): AbortSignal => {
      const end = new AbortController()
      const over = (): void => end.abort(new Error("late"))
      hand.clock.sleep(ms, signal).then(over, over)
      return end.signal
    }
    const stop = new AbortController()
    const never = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      })
    const unused = (): never => {
      throw new Error("not here")
    }
    const store: Store = {
      read: async () => ({ kind: "found", data, version: "1" as Version }),
      publish: async () => {},
      async write() {
        acts.push("write")
        return { kind: "conflict" }
      },
      infos: async () => ({
        keepers: new Map(),
        sentinels: new Map(),
        proxies: new Map(),
        broken: [],
      }),
      watch: (_, __, signal) => never(signal),
      campaign: async () => ({
        signal: new AbortController().signal,
        token: "t",
        resign: async () => {},
      }),
      announce: async (...words) => {
        acts.push("announce")
        await announce(...words)
      },
      withdraw: unused,
      leader: unused,
      unseat: unused,
      [Symbol.asyncDispose]: async () => {},
    }
    const chance = { seed: () => 7, uid: () => uid, uuid: () => "unused" }
    const running = runSentinel(
      { store, clock, chance, log: { event: (e) => log.push(e) } },
      { uid, initialSpec: null, report: () => {} },
      stop.signal,
    )
    await hand.advance(30_000)
    stop.abort()
    await hand.advance(1)
    await running
    return { acts, log }
  }

  test("tells the platform of the roles before each write", async () => {
    const told: Readonly<Record<string, string>>[] = []
    const { acts } = await led(async (now) => void told.push(Object.fromEntries(now)))
    expect(acts).toContain("write")
    expect(acts.filter((act, i) => act === "write" && acts[i - 1] !== "announce")).toEqual([])
    expect(told[0]).toMatchObject({ k2: "standby" })
  })

  test("writes all the same where the platform does not listen, and says so", async () => {
    const { acts, log } = await led(async () => {
      throw new Error("forbidden")
    })
    expect(acts).toContain("write")
    const said = log.find(({ code }) => code === "store.failed")
    expect(JSON.stringify(said)).toContain("labels that name the primary: forbidden")
  })

  test("does not wait for a platform that never answers", async () => {
    const { acts } = await led((_, __, signal) => {
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      })
    })
    expect(acts).toContain("write")
  })
})
