/**
 * What every store backend must do. Each backend's test file calls `storeConformance` with a real
 * server behind it; what a backend cannot do is named there, with the reason.
 */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { StoreError, type StoreSettings } from "#port/store.ts"
import { electionTtl } from "#store/election.ts"
import {
  type Opening,
  document,
  k,
  keeper,
  never,
  nonceOf,
  proxy,
  s,
  scene,
  sentinel,
} from "./scene.ts"
import { timed, until } from "./wait.ts"

export interface Backend {
  readonly name: string
  /** Called inside tests, when the server runs. */
  settings(clusterName: string): StoreSettings
  /** Absent: as `openStore` does. */
  readonly opening?: Opening
  /** Tests this backend does not take, and why. */
  readonly skip: readonly { readonly reason: string; readonly tests: readonly string[] }[]
}

type Case = (name: string, body: () => Promise<void>, timeout?: number) => void

export function storeConformance(backend: Backend): void {
  const open = (): ReturnType<typeof scene> =>
    scene((name) => backend.settings(name), backend.opening)
  const it: Case = (name, body, timeout = 20_000) => {
    const skipped = backend.skip.find(({ tests }) => tests.includes(name))
    if (skipped === undefined) test.concurrent(name, body, timeout)
    else test.skip(`${name} (skipped: ${skipped.reason})`, body)
  }
  describe(`${backend.name}: cluster data`, () => clusterData(it, open))
  describe(`${backend.name}: infos`, () => infos(it, open))
  describe(`${backend.name}: watches`, () => watches(it, open))
  describe(`${backend.name}: election`, () => election(it, open))
  describe(`${backend.name}: leadership`, () => leadership(it, open))
}

type Open = () => ReturnType<typeof scene>

function clusterData(it: Case, open: Open): void {
  it("read() finds nothing in a new store", async () => {
    await using here = open()
    const store = await here.store()
    expect(await store.read(never)).toEqual({ kind: "absent", version: null })
    expect(await store.leader(never)).toBeNull()
  })

  it("write() creates the document once when it must be absent", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const data = document()
    expect((await one.write(data, { kind: "absent" }, null, never)).kind).toBe("written")
    expect(await two.write(document(), { kind: "absent" }, null, never)).toEqual({
      kind: "conflict",
    })
    const reading = await two.read(never)
    expect(reading.kind === "found" && reading.data).toEqual(data)
  })

  it("read() is what there is, also where it was deleted and begun anew", async () => {
    await using here = open()
    const [one, two, kv] = [await here.store(), await here.store(), await here.raw()]
    for (let i = 0; i < 3; i++) {
      const data = document()
      await one.write(data, { kind: "absent" }, null, never)
      for (let look = 0; look < 2; look++) {
        const reading = await two.read(never)
        expect(reading.kind === "found" && reading.data).toEqual(data)
      }
      await kv.remove(`${here.base}/clusterdata`, never)
      expect(await two.read(never)).toEqual({ kind: "absent", version: null })
    }
  })

  it("write() replaces exactly the version it names, and returns the next", async () => {
    await using here = open()
    const store = await here.store()
    const first = await store.write(document(), { kind: "absent" }, null, never)
    if (first.kind !== "written") throw new Error(first.kind)
    const replace = { kind: "version", version: first.version } as const
    const second = await store.write(document(), replace, null, never)
    if (second.kind !== "written") throw new Error(second.kind)
    expect(await store.write(document(), replace, null, never)).toEqual({ kind: "conflict" })
    const reading = await store.read(never)
    expect(reading.version).toBe(second.version)
    const anything = await store.write(document(), { kind: "anything" }, null, never)
    expect(anything.kind).toBe("written")
    const gone = { kind: "version", version: second.version } as const
    expect(await store.write(document(), gone, null, never)).toEqual({ kind: "conflict" })
  })

  it("write() lets one of many win who replace the same version at once", async () => {
    await using here = open()
    const stores = await Promise.all(Array.from({ length: 6 }, () => here.store()))
    const documents = stores.map(() => document())
    const results = await Promise.all(
      stores.map((store, i) =>
        store.write(documents[i] ?? document(), { kind: "absent" }, null, never),
      ),
    )
    const kinds: readonly string[] = results.map(({ kind }) => kind)
    expect(kinds.toSorted()).toEqual([...Array.from({ length: 5 }, () => "conflict"), "written"])
    const winner = results.findIndex(({ kind }) => kind === "written")
    const reading = await stores[0]?.read(never)
    expect(reading?.kind === "found" && nonceOf(reading.data)).toBe(
      nonceOf(documents[winner] ?? document()),
    )
  })

  it("swap() loses no increment of several processes", async () => {
    await using here = open()
    const key = `${here.base}/clusterdata`
    const children = Array.from({ length: 3 }, () => here.child({ kind: "count", key, times: 30 }))
    for (const child of children) await child.said("counted")
    const kv = await here.raw()
    expect((await kv.get(key, never))?.value).toBe("90")
  })

  it("read() takes JSON null for absent, with a version that can be replaced (G10)", async () => {
    await using here = open()
    const [store, kv] = [await here.store(), await here.raw()]
    await kv.swap(`${here.base}/clusterdata`, "null", { kind: "absent" }, null, never)
    const reading = await store.read(never)
    if (reading.kind !== "absent" || reading.version === null) throw new Error("expected a version")
    expect(await store.write(document(), { kind: "absent" }, null, never)).toEqual({
      kind: "conflict",
    })
    const replace = { kind: "version", version: reading.version } as const
    expect((await store.write(document(), replace, null, never)).kind).toBe("written")
  })

  it("read() refuses what it cannot use, and says so (D-79, G4)", async () => {
    await using here = open()
    const [store, kv] = [await here.store(), await here.raw()]
    const key = `${here.base}/clusterdata`
    for (const [text, code] of [
      ["{", "malformed"],
      [`{"formatVersion":1,"cluster":null,"keepers":{},"dbs":{},"proxy":{}}`, "malformed"],
      [`{"formatVersion":2}`, "format"],
    ] as const) {
      await kv.swap(key, text, { kind: "anything" }, null, never)
      const { error } = await timed(() => store.read(never))
      expect(error).toBeInstanceOf(StoreError)
      expect(error).toMatchObject({ code, message: expect.stringContaining(key) })
    }
  })

  it("write() and read() keep every byte of what is hard to keep", async () => {
    await using here = open()
    const kv = await here.raw()
    const text = JSON.stringify({
      text: "\u2028 <&> \\ \" \n é 漢 😀 '; DROP",
      big: "x".repeat(300_000),
    })
    await kv.swap(`${here.base}/text`, text, { kind: "absent" }, null, never)
    expect((await kv.get(`${here.base}/text`, never))?.value).toBe(text)
  })

  it("every method ends with its signal", async () => {
    await using here = open()
    const store = await here.store()
    const signal = AbortSignal.abort(new Error("enough"))
    const calls = [
      () => store.read(signal),
      () => store.write(document(), { kind: "absent" }, null, signal),
      () => store.publish(sentinel("s1"), millis(5000), signal),
      () => store.infos(signal),
      () => store.leader(signal),
      () => store.campaign(s("s1"), signal),
    ]
    for (const call of calls)
      expect((await timed<unknown>(call)).error).toMatchObject({ message: "enough" })
    await store.watch("everything", () => {}, signal)
    expect(await store.read(never)).toEqual({ kind: "absent", version: null })
  })
}

function infos(it: Case, open: Open): void {
  it("infos() returns what was published, by the uid inside", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    await one.publish(keeper("k1"), millis(20_000), never)
    await two.publish(keeper("k2"), millis(20_000), never)
    await one.publish(proxy("p1"), millis(20_000), never)
    await two.publish(sentinel("s1"), millis(20_000), never)
    const found = await one.infos(never)
    expect([...found.keepers.keys()]).toEqual([k("k1"), k("k2")])
    expect(found.keepers.get(k("k1"))).toEqual(keeper("k1").info)
    expect([...found.proxies.values()].map(({ Generation }) => Number(Generation))).toEqual([7])
    expect([...found.sentinels.keys()]).toEqual([s("s1")])
    expect(found.broken).toEqual([])
  })

  it("infos() is what there is, whatever came and went since the last look", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const ttl = millis(20_000)
    const uids = async (): Promise<readonly string[]> => [
      ...(await two.infos(never)).keepers.keys(),
    ]
    for (const uid of ["k1", "k2"]) await one.publish(keeper(uid), ttl, never)
    expect(await uids()).toEqual(["k1", "k2"])
    await one.withdraw({ kind: "keeper", uid: k("k1") }, never)
    await one.publish(keeper("k0"), ttl, never) // as many as before
    expect(await uids()).toEqual(["k0", "k2"])
    await one.withdraw({ kind: "keeper", uid: k("k2") }, never)
    await one.publish(keeper("k2", 2), ttl, never) // gone and back between two looks
    await one.publish(keeper("k0", 2), ttl, never)
    const found = await two.infos(never)
    expect([...found.keepers.values()]).toEqual([keeper("k0", 2).info, keeper("k2", 2).info])
    for (const uid of ["k0", "k2"]) await one.withdraw({ kind: "keeper", uid: k(uid) }, never)
    expect(await uids()).toEqual([])
  })

  it("infos() reports a broken value beside the good ones", async () => {
    await using here = open()
    const [store, kv] = [await here.store(), await here.raw()]
    await store.publish(keeper("k1"), millis(20_000), never)
    const broken = ["keepers/info/bad", "keepers/info/nobody", "proxies/infoX"]
    const values = ['{"uid":7}', "{}", ""]
    for (const [i, path] of broken.entries())
      await kv.swap(`${here.base}/${path}`, values[i] ?? "", { kind: "absent" }, null, never)
    const found = await store.infos(never)
    expect([...found.keepers.keys()]).toEqual([k("k1")])
    expect(found.broken.map(({ key }) => key)).toEqual(broken.map((path) => `${here.base}/${path}`))
    expect(found.broken.every(({ error }) => error !== "")).toBe(true)
  })

  it("publish() replaces what the same publisher said before, also one before this process", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    await one.publish(keeper("k1", 1), millis(20_000), never)
    await one.publish(keeper("k1", 2), millis(20_000), never)
    await two.publish(keeper("k1", 3), millis(20_000), never)
    await one.publish(keeper("k1", 4), millis(20_000), never)
    const found = await two.infos(never)
    expect(found.keepers.get(k("k1"))).toEqual(keeper("k1", 4).info)
  })

  it("publish() keeps the key while it is repeated, and it vanishes when that ends", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const start = performance.now()
    let count = 0
    const present = async (): Promise<boolean> => (await two.infos(never)).keepers.has(k("k1"))
    await one.publish(keeper("k1", count++), millis(2000), never)
    await until("five seconds of publishing", async () => {
      await one.publish(keeper("k1", count++), millis(2000), never)
      expect(await present()).toBe(true)
      return performance.now() - start > 5000
    })
    const last = performance.now()
    await until("the key to vanish", async () => !(await present()))
    expect(performance.now() - last).toBeGreaterThan(1500)
    expect(performance.now() - last).toBeLessThan(5000)
    // its lease is gone; a new one is made
    await one.publish(keeper("k1", count++), millis(2000), never)
    expect(await present()).toBe(true)
  })

  it("publish() of a process that was killed vanishes", async () => {
    await using here = open()
    const store = await here.store()
    const child = here.child({ kind: "publish", uid: "s9", ttl: 2000 })
    await child.said("published")
    expect((await store.infos(never)).sentinels.has(s("s9"))).toBe(true)
    child.signal("SIGKILL")
    await until(
      "its info to vanish",
      async () => (await store.infos(never)).sentinels.size === 0,
      6000,
    )
  })

  it("publish() follows a changed ttl", async () => {
    await using here = open()
    const store = await here.store()
    await store.publish(sentinel("s1"), millis(2000), never)
    await store.publish(sentinel("s1"), millis(60_000), never)
    const kv = await here.raw()
    const short = here.child({ kind: "publish", uid: "s2", ttl: 2000 })
    await short.said("published")
    short.signal("SIGKILL")
    await until("the short one to vanish", async () => {
      const found = await store.infos(never)
      return !found.sentinels.has(s("s2"))
    })
    const left = async () => (await kv.list([`${here.base}/sentinels/info`], never))[0]?.length
    await until("a newcomer to find the other alone", async () => (await left()) === 1)
  })

  it("withdraw() removes an info at once, and missing is fine", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    await one.publish(keeper("k1"), millis(20_000), never)
    await two.withdraw({ kind: "keeper", uid: k("k1") }, never) // not its publisher
    expect((await one.infos(never)).keepers.size).toBe(0)
    await one.publish(keeper("k1", 2), millis(20_000), never)
    await one.withdraw({ kind: "keeper", uid: k("k1") }, never)
    await one.withdraw({ kind: "keeper", uid: k("k1") }, never)
    expect((await one.infos(never)).keepers.size).toBe(0)
  })
}

function watches(it: Case, open: Open): void {
  it("watch() wakes for writes of other clients", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const seen = await here.watch(two, "clusterdata")
    for (let i = 0; i < 5; i++) {
      const before = seen.wakes
      await one.write(document(), { kind: "anything" }, null, never)
      await until("a wake-up", () => seen.wakes > before, 2000)
    }
  })

  it("watch() of everything wakes for an info that is published, withdrawn, run out", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const seen = await here.watch(two, "everything")
    const act = async (what: string, work: () => Promise<void>): Promise<void> => {
      const before = seen.wakes
      await work()
      await until(`a wake-up after ${what}`, () => seen.wakes > before, 6000)
    }
    await act("publish", () => one.publish(keeper("k1"), millis(20_000), never))
    await act("publish again", () => one.publish(keeper("k1", 2), millis(20_000), never))
    await act("withdraw", () => one.withdraw({ kind: "keeper", uid: k("k1") }, never))
    await act("publish for a short time", () => one.publish(proxy("p1"), millis(2000), never))
    await act("its end", async () => {})
    expect((await two.infos(never)).proxies.size).toBe(0)
  })

  it("watch() of the cluster data sleeps through infos", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const seen = await here.watch(two, "clusterdata")
    const everything = await here.watch(two, "everything")
    const [before, others] = [seen.wakes, everything.wakes]
    await one.publish(keeper("k1"), millis(20_000), never)
    await until("the other watch to wake", () => everything.wakes > others, 2000)
    expect(seen.wakes).toBe(before)
  })

  it("watch() resolves when its signal aborts", async () => {
    await using here = open()
    const store = await here.store()
    const stop = new AbortController()
    const watching = store.watch("everything", () => stop.abort(), stop.signal)
    expect((await timed(() => watching)).error).toBeNull()
  })
}

function election(it: Case, open: Open): void {
  it("campaign() elects one, in the order of standing", async () => {
    await using here = open()
    const stores = [await here.store(), await here.store(), await here.store()] as const
    const first = await stores[0].campaign(s("s0"), never)
    expect(await stores[1].leader(never)).toBe(s("s0"))
    const order: string[] = []
    const kv = await here.raw()
    const candidates = async (): Promise<number> =>
      (await kv.list([`${here.base}/sentinel-leader/`], never))[0]?.length ?? 0
    const second = stores[1].campaign(s("s1"), never).then((office) => {
      order.push("s1")
      return office
    })
    await until("the second to stand", async () => (await candidates()) === 2)
    const third = stores[2].campaign(s("s2"), never).then((office) => {
      order.push("s2")
      return office
    })
    await until("the third to stand", async () => (await candidates()) === 3)
    expect(order).toEqual([])
    expect(first.signal.aborted).toBe(false)
    await first.resign(never)
    expect(first.signal.aborted).toBe(true)
    const next = await timed(() => second)
    expect(next.ms).toBeLessThan(1500) // not a time to live
    expect(await stores[0].leader(never)).toBe(s("s1"))
    await next.value?.resign(never)
    await (await third).resign(never)
    expect(order).toEqual(["s1", "s2"])
    expect(await stores[0].leader(never)).toBeNull()
  })

  it("D-56 unseat() takes the office from the leader that it names, and from nobody else", async () => {
    await using here = open()
    const [one, two, other] = [await here.store(), await here.store(), await here.store()]
    expect(await other.unseat(s("s0"), never)).toBe(false) // nobody leads
    const first = await one.campaign(s("s0"), never)
    const next = timed(() => two.campaign(s("s1"), never))
    const kv = await here.raw()
    const prefix = `${here.base}/sentinel-leader/`
    const candidates = async (): Promise<number> => (await kv.list([prefix], never))[0]?.length ?? 0
    await until("the second to stand", async () => (await candidates()) === 2)
    expect(await other.unseat(s("s1"), never)).toBe(false) // it stands, and does not lead
    expect(first.signal.aborted).toBe(false)
    const start = performance.now()
    expect(await other.unseat(s("s0"), never)).toBe(true)
    const second = await next
    expect(performance.now() - start).toBeLessThan(1500) // not a time to live
    await until("the first to know", () => first.signal.aborted, 2000)
    const late = await one.write(document(), { kind: "anything" }, first, never)
    expect(late).toEqual({ kind: "conflict" })
    expect(await other.unseat(s("s0"), never)).toBe(false)
    expect(await other.leader(never)).toBe(s("s1"))
    expect(second.value?.signal.aborted).toBe(false)
    await second.value?.resign(never)
  })

  it("unseat() asked by several at once takes one office, not the next one's, too", async () => {
    await using here = open()
    const stores = [await here.store(), await here.store(), await here.store()] as const
    await stores[0].campaign(s("s0"), never)
    const next = stores[1].campaign(s("s1"), never)
    const asked = await Promise.all(stores.map((store) => store.unseat(s("s0"), never)))
    expect(asked.filter((done) => done)).toHaveLength(1)
    const office = await next
    expect(await stores[2].leader(never)).toBe(s("s1"))
    await office.resign(never)
  })

  it("campaign() that is aborted leaves no candidate behind", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const office = await one.campaign(s("s0"), never)
    const kv = await here.raw()
    const candidates = async (): Promise<number> =>
      (await kv.list([`${here.base}/sentinel-leader/`], never))[0]?.length ?? 0
    const stop = new AbortController()
    const standing = timed(() => two.campaign(s("s1"), stop.signal))
    await until("it to stand", async () => (await candidates()) === 2)
    stop.abort(new Error("enough"))
    expect((await standing).error).toMatchObject({ message: "enough" })
    expect(await candidates()).toBe(1)
    await office.resign(never)
  })

  it("campaign() takes over from a killed leader within its time to live", async () => {
    await using here = open()
    const store = await here.store()
    const child = here.child({ kind: "lead", uid: "s0" })
    await child.said("leading")
    expect(await store.leader(never)).toBe(s("s0"))
    const standing = store.campaign(s("s1"), never)
    child.signal("SIGKILL")
    const { ms, value } = await timed(() => standing)
    expect(ms).toBeLessThan(electionTtl + 2000) // etcd looks for expired leases twice a second
    await value?.resign(never)
  })
}

function leadership(it: Case, open: Open): void {
  it("leadership lasts beyond its time to live while it is renewed", async () => {
    await using here = open()
    const store = await here.store()
    const office = await store.campaign(s("s0"), never)
    const start = performance.now()
    await until("a term and a half", () => performance.now() - start > electionTtl * 1.5)
    expect(office.signal.aborted).toBe(false)
    expect(await store.leader(never)).toBe(s("s0"))
    await office.resign(never)
  })

  it("write() of a deposed leader is refused although its version is right (W4)", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const office = await one.campaign(s("s0"), never)
    expect((await one.write(document(), { kind: "absent" }, office, never)).kind).toBe("written")
    const unaware = { ...office, signal: never } // has not heard yet that its time is over
    expect((await one.write(document(), { kind: "anything" }, unaware, never)).kind).toBe("written")
    const again = await one.read(never)
    if (again.version === null) throw new Error("expected a version")
    const replace = { kind: "version", version: again.version } as const
    await office.resign(never)
    expect(await one.write(document(), replace, office, never)).toEqual({ kind: "conflict" })
    expect(await one.write(document(), replace, unaware, never)).toEqual({ kind: "conflict" })
    const next = await two.campaign(s("s1"), never)
    expect(await one.write(document(), replace, unaware, never)).toEqual({ kind: "conflict" })
    expect((await two.write(document(), replace, next, never)).kind).toBe("written")
    await next.resign(never)
  })

  it("leadership ends in a leader that was frozen, and its late write is refused", async () => {
    await using here = open()
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    const child = here.child({ kind: "lead", uid: "s0" })
    await child.said("leading")
    child.say("write")
    await child.said("leading written")
    child.signal("SIGSTOP")
    const next = await store.campaign(s("s1"), never)
    child.signal("SIGCONT")
    child.say("write")
    await until("its write", () => child.lines.some((line) => line.endsWith(" conflict")))
    await child.said("lost")
    await next.resign(never)
  })

  it("leadership ends when somebody removes its key", async () => {
    await using here = open()
    const [store, kv] = [await here.store(), await here.raw()]
    const office = await store.campaign(s("s0"), never)
    const [entries = []] = await kv.list([`${here.base}/sentinel-leader/`], never)
    for (const { key } of entries) await kv.remove(key, never)
    await until("the signal", () => office.signal.aborted, 2000)
    const unaware = { ...office, signal: never }
    const write = await store.write(document(), { kind: "anything" }, unaware, never)
    expect(write).toEqual({ kind: "conflict" })
  })

  it("closing the store ends leadership, watches and campaigns", async () => {
    await using here = open()
    const [one, two] = [await here.store(), await here.store()]
    const office = await one.campaign(s("s0"), never)
    const standing = timed(() => two.campaign(s("s1"), never))
    await until("its key", async () => (await one.leader(never)) === s("s0"))
    await one[Symbol.asyncDispose]()
    expect(office.signal.aborted).toBe(true)
    await two[Symbol.asyncDispose]()
    expect((await standing).error).toBeInstanceOf(StoreError)
    expect((await timed(() => one.read(never))).error).toBeInstanceOf(StoreError)
  })
}
