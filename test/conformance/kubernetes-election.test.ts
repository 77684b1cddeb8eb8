/**
 * The office in Kubernetes, with a real API server and the rights that we ship: client-go's record,
 * which Go's sentinels and ours compete for, what it protects, and who must not have it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import type { KeeperUID } from "#model/ids.ts"
import { electionTtl } from "#store/election.ts"
import { type KubeCluster, kubeCluster } from "./kube-cluster.ts"
import { type Json, type KubeServer, kubeMissing, startKube } from "./kube-server.ts"
import { document, k, keeper, never, s } from "./scene.ts"
import { timed, until } from "./wait.ts"

const leader = "control-plane.alpha.kubernetes.io/leader"
const ttl = millis(20_000)

if (kubeMissing !== null) test.skip(`leading in Kubernetes (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  beforeAll(async () => {
    server = await startKube()
  }, 180_000)
  afterAll(() => server[Symbol.asyncDispose]())
  const open = (): KubeCluster => kubeCluster(server)
  describe("the record", () => {
    record(open)
    foreign(open)
  })
  describe("the office", () => {
    office(open)
    unable(open)
  })
  describe("roles", () => roles(open))
  describe("Events", () => events(open, () => server))
}

type Open = () => KubeCluster
const recordOf = async (here: KubeCluster): Promise<Json> =>
  JSON.parse((await here.map()).metadata.annotations[leader])

function record(open: Open): void {
  test("is written as client-go writes it: keys, their order, whole seconds in UTC", async () => {
    await using here = open()
    const store = await here.store("sentinel")
    const term = await store.campaign(s("198fd39f"), never)
    const text: string = (await here.map()).metadata.annotations[leader]
    const golden = await Bun.file(
      `${import.meta.dir}/../golden/kubernetes/leader-record.txt`,
    ).text()
    const shape = (it: string): string =>
      it.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "<time>").replace(/Seconds":\d+/, "Seconds")
    expect(shape(text)).toBe(shape(golden))
    await term.resign(never)
    expect(await recordOf(here)).toEqual({
      holderIdentity: "",
      leaseDurationSeconds: 1,
      acquireTime: null,
      renewTime: null,
      leaderTransitions: 0,
    })
    expect(await store.leader(never)).toBeNull()
  })

  test("counts the terms, and keeps the cluster data beside it", async () => {
    await using here = open()
    const store = await here.store("sentinel")
    await store.write(document(), { kind: "absent" }, null, never)
    const before = await store.read(never)
    for (const transitions of [1, 2]) {
      const term = await store.campaign(s("s0"), never)
      expect(await recordOf(here)).toMatchObject({ leaderTransitions: transitions })
      await term.resign(never)
    }
    expect(await store.read(never)).toEqual(before)
  })
}

/** Odd records, and what Go's make of them: `leader-record-foreign.tsv`; ours alike but for two. */
function foreign(open: Open): void {
  const goLease = [14_000, 21_000] as const
  const cases: readonly (readonly [string, string, number, readonly [number, number]])[] = [
    ["D-88 one that is no JSON, once it has not changed for Go's lease", "x", 1, goLease],
    ["D-88 an empty one, at once", "", 1, [0, 4000]],
    [
      "one that was given back, at once",
      `{"holderIdentity":"","leaseDurationSeconds":1,"acquireTime":null,"renewTime":null,"leaderTransitions":5}`,
      6,
      [0, 4000],
    ],
    [
      "one that states a longer time, after Go's",
      `{"holderIdentity":"other","leaseDurationSeconds":60,"acquireTime":"2026-11-22T14:00:00Z","renewTime":"2026-11-22T14:00:00Z","leaderTransitions":5}`,
      6,
      goLease,
    ],
    [
      "one with fractions, offsets and unknown keys, after Go's lease",
      `{"holderIdentity":"other","leaseDurationSeconds":15,"acquireTime":"2020-01-01T00:00:00.123456Z","renewTime":"2020-01-01T00:00:00.5+02:00","leaderTransitions":5,"strategy":"","preferredHolder":"z"}`,
      6,
      goLease,
    ],
    ["one that names a holder only, after Go's lease", `{"holderIdentity":"other"}`, 1, goLease],
  ]
  for (const [name, text, transitions, [least, most]] of cases)
    test.concurrent(
      `takes over ${name}`.replace(/^takes over (D-\d\d) /, "$1 takes over "),
      async () => {
        await using here = open()
        await here.annotate({ [leader]: text })
        const store = await here.store("sentinel")
        const { ms, value } = await timed(() => store.campaign(s("s0"), never))
        expect(ms).toBeGreaterThanOrEqual(least)
        expect(ms).toBeLessThan(most)
        expect(await recordOf(here)).toMatchObject({
          holderIdentity: "s0",
          leaderTransitions: transitions,
        })
        await value?.resign(never)
      },
      60_000,
    )
}

function office(open: Open): void {
  test("passes to one of those who wait as soon as it is given back", async () => {
    await using here = open()
    const [one, two] = [await here.store("sentinel"), await here.store("sentinel")]
    const first = await one.campaign(s("s0"), never)
    const next = timed(() => two.campaign(s("s1"), never))
    await until("a renewal", async () => {
      const { acquireTime, renewTime } = await recordOf(here)
      return acquireTime !== renewTime
    })
    expect(first.signal.aborted).toBe(false)
    const start = performance.now()
    await first.resign(never)
    const second = await next
    expect(performance.now() - start).toBeLessThan(2500) // not a time to live
    expect(await one.leader(never)).toBe(s("s1"))
    await second.value?.resign(never)
  })

  test("campaign() that is aborted leaves the record alone", async () => {
    await using here = open()
    const [one, two] = [await here.store("sentinel"), await here.store("sentinel")]
    const first = await one.campaign(s("s0"), never)
    const stop = new AbortController()
    const standing = timed(() => two.campaign(s("s1"), stop.signal))
    stop.abort(new Error("enough"))
    expect((await standing).error).toMatchObject({ message: "enough" })
    expect(await recordOf(here)).toMatchObject({ holderIdentity: "s0" })
    await first.resign(never)
  })

  test("D-56 unseat() takes the office from the leader that it names, and from nobody else", async () => {
    await using here = open()
    const [one, two, other] = [
      await here.store("sentinel"),
      await here.store("sentinel"),
      await here.store("ctl"),
    ]
    expect(await other.unseat(s("s0"), never)).toBe(false) // nobody leads
    const first = await one.campaign(s("s0"), never)
    const next = timed(() => two.campaign(s("s1"), never))
    expect(await other.unseat(s("s1"), never)).toBe(false) // it stands, and does not lead
    expect(first.signal.aborted).toBe(false)
    expect(await other.unseat(s("s0"), never)).toBe(true)
    const second = await next
    await until("the first to know", () => first.signal.aborted, 3000)
    const late = await one.write(document(), { kind: "anything" }, first, never)
    expect(late).toEqual({ kind: "conflict" })
    expect(await other.unseat(s("s0"), never)).toBe(false)
    expect(second.value?.signal.aborted).toBe(false)
    await second.value?.resign(never)
  })

  test("D-87 a leader that was replaced writes nothing, though what it replaces has its version", async () => {
    await using here = open()
    const store = await here.store("sentinel")
    const term = await store.campaign(s("s0"), never)
    const first = await store.write(document(), { kind: "anything" }, term, never)
    if (first.kind !== "written") throw new Error(first.kind)
    // frozen meanwhile, it has not heard of it; Go's sentinel would write for ten seconds more
    const unaware = { ...term, signal: never }
    await here.annotate({
      [leader]: `{"holderIdentity":"go","leaseDurationSeconds":15,"acquireTime":"2026-11-22T14:00:00Z","renewTime":"2026-11-22T14:00:00Z","leaderTransitions":9}`,
    })
    const replace = { kind: "version", version: first.version } as const
    expect(await store.write(document(), replace, unaware, never)).toEqual({ kind: "conflict" })
    await until("it to know", () => term.signal.aborted, 3000)
    expect(await recordOf(here)).toMatchObject({ holderIdentity: "go" })
  })

  test("ends when the ConfigMap is deleted, and nothing is written into a new one", async () => {
    await using here = open()
    const store = await here.store("sentinel")
    const term = await store.campaign(s("s0"), never)
    await store.write(document(), { kind: "absent" }, term, never)
    await here.removeMap()
    await until("it to know", () => term.signal.aborted, 5000)
    const unaware = { ...term, signal: never }
    const late = await store.write(document(), { kind: "anything" }, unaware, never)
    expect(late).toEqual({ kind: "conflict" })
    expect(await here.map()).toBeNull()
  })
}

function unable(open: Open): void {
  test("D-88 is not for a sentinel without its pod, and that says why", async () => {
    await using here = open()
    const lost = await here.store("sentinel", { pod: "no-such-pod" })
    const { error } = await timed(() => lost.campaign(s("s0"), never))
    expect(error).toMatchObject({ message: expect.stringContaining("POD_NAME") })
    expect(await here.map()).toBeNull()
  })

  test("D-88 is not for a sentinel that may not list pods", async () => {
    await using here = open()
    const keeperOnly = await here.settings("keeper")
    expect(keeperOnly.backend).toBe("kubernetes")
    const { openStore } = await import("#store/open.ts")
    const identity = await here.stranger()
    const kubernetes = { kubeconfig: identity, context: "", namespace: "", podName: null }
    await using store = await openStore({ ...keeperOnly, kubernetes })
    const { error } = await timed(() => store.campaign(s("s0"), never))
    expect(error).toMatchObject({ code: "denied" })
    expect(await here.map()).toBeNull()
  })

  test("D-88 is given up by a leader whose pod has gone, for one that can work", async () => {
    await using here = open()
    const pods = [await here.pod("sentinel", "a"), await here.pod("sentinel", "b")] as const
    const one = await here.store("sentinel", { pod: pods[0] })
    const two = await here.store("sentinel", { pod: pods[1] })
    const term = await one.campaign(s("s0"), never)
    const next = two.campaign(s("s1"), never)
    await here.deletePod(pods[0])
    // as its rounds do
    await until(
      "it to leave",
      async () => {
        await timed(() => one.publish(keeper("x"), ttl, never))
        return term.signal.aborted
      },
      electionTtl * 3,
    )
    await (await next).resign(never)
  }, 40_000)
}

function roles(open: Open): void {
  const role = async (here: KubeCluster, pod: string): Promise<string | undefined> =>
    (await here.podObject(pod)).metadata.labels["stolon.io/role"]
  type Pairs = readonly (readonly [string, "primary" | "standby"])[]
  const are = (...pairs: Pairs) =>
    new Map<KeeperUID, "primary" | "standby">(pairs.map(([uid, is]) => [k(uid), is]))

  test("are labels of pods: the old primary's goes before the new one's comes", async () => {
    await using here = open()
    const a = await here.pod("keeper", "a", `{"uid":"ka"}`)
    const b = await here.pod("keeper", "b", `{"uid":"kb"}`)
    const store = await here.store("sentinel")
    const term = await store.campaign(s("s0"), never)
    const say = async (...pairs: Pairs): Promise<void> => {
      await store.infos(never)
      await store.announce?.(are(...pairs), term, never)
    }
    await say(["kb", "primary"], ["ka", "standby"])
    expect([await role(here, a), await role(here, b)]).toEqual(["standby", "primary"])
    const since = (await here.podObject(a)).metadata.resourceVersion
    await say(["ka", "standby"]) // the gate is closed
    expect([await role(here, a), await role(here, b)]).toEqual(["standby", undefined])
    expect((await here.podObject(a)).metadata.resourceVersion).toBe(since) // nothing to say
    await say(["kb", "primary"], ["ka", "standby"])
    // by the versions of the objects: b was changed before a
    await say(["ka", "primary"], ["kb", "standby"])
    const [first, second] = [await here.podObject(b), await here.podObject(a)]
    expect(first.metadata.labels["stolon.io/role"]).toBe("standby")
    expect(second.metadata.labels["stolon.io/role"]).toBe("primary")
    expect(Number(first.metadata.resourceVersion)).toBeLessThan(
      Number(second.metadata.resourceVersion),
    )
    await term.resign(never)
  })

  test("come back on a pod that was made anew, and stay away from one that is nobody's", async () => {
    await using here = open()
    const a = await here.pod("keeper", "a", `{"uid":"ka"}`)
    await here.patchPod(a, { metadata: { labels: { "stolon.io/role": "standby" } } })
    const left = await here.pod("keeper", "left")
    await here.patchPod(left, { metadata: { labels: { "stolon.io/role": "primary" } } })
    const store = await here.store("sentinel")
    const term = await store.campaign(s("s0"), never)
    await store.infos(never)
    await store.announce?.(are(["ka", "primary"]), term, never)
    expect([await role(here, a), await role(here, left)]).toEqual(["primary", undefined])
    await here.deletePod(a)
    await here.pod("keeper", "a", `{"uid":"ka"}`)
    await store.infos(never)
    await store.announce?.(are(["ka", "primary"]), term, never)
    expect(await role(here, a)).toBe("primary")
    await term.resign(never)
  })

  test("are not changed by one who was replaced and has not heard of it", async () => {
    await using here = open()
    const a = await here.pod("keeper", "a", `{"uid":"ka"}`)
    const [store, ctl] = [await here.store("sentinel"), await here.store("ctl")]
    const term = await store.campaign(s("s0"), never)
    await store.infos(never)
    await ctl.unseat(s("s0"), never)
    await store.announce?.(are(["ka", "primary"]), { ...term, signal: never }, never)
    expect(await role(here, a)).toBeUndefined()
  })
}

function events(open: Open, server: () => KubeServer): void {
  test("D-64 tell of who became leader, and also of who stopped", async () => {
    await using here = open()
    const store = await here.store("sentinel")
    const told = async (): Promise<readonly Json[]> => {
      const path = `/api/v1/namespaces/${server().namespace}/events`
      const { items } = await server().admin("GET", path)
      return items.filter((it: Json) => it.involvedObject.name.endsWith(here.name))
    }
    for (let i = 0; i < 2; i++) await (await store.campaign(s("s0"), never)).resign(never)
    const found = await until("four sayings", async () => {
      const list = await told()
      return list.length === 2 && list.every(({ count }) => count === 2) ? list : null
    })
    const golden = await Bun.file(`${import.meta.dir}/../golden/kubernetes/events.json`).json()
    const became = found.find(({ message }) => message === "s0 became leader")
    const stopped = found.find(({ message }) => message === "s0 stopped leading")
    const [like] = golden
    for (const it of [became, stopped]) {
      expect(it).toMatchObject({
        reason: like.reason,
        type: like.type,
        source: like.source,
        involvedObject: { kind: "ConfigMap", apiVersion: "v1", namespace: server().namespace },
      })
      // a list's items do not say what they are
      const keys = Object.keys(like).filter((key) => !["kind", "apiVersion"].includes(key))
      expect(Object.keys(it).toSorted()).toEqual(keys.toSorted())
    }
  })
}
