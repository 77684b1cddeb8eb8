/**
 * What stands in Kubernetes, with a real API server and the rights that we ship: the layout of Go
 * stolon, which infos count, and that nothing of an object is lost that we know nothing of.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { StoreError } from "#port/store.ts"
import { type KubeCluster, kubeCluster } from "./kube-cluster.ts"
import { type KubeServer, kubeMissing, startKube } from "./kube-server.ts"
import { document, k, keeper, never } from "./scene.ts"
import { timed, until } from "./wait.ts"

const ttl = millis(20_000)

if (kubeMissing !== null) test.skip(`objects in Kubernetes (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  beforeAll(async () => {
    server = await startKube()
  }, 180_000)
  afterAll(() => server[Symbol.asyncDispose]())
  const open = (): KubeCluster => kubeCluster(server)
  describe("the ConfigMap", () => {
    theMap(open)
    limits(open)
  })
  describe("infos in pods", () => infos(open))
  describe("rights", () => rights(open, () => server))
}

type Open = () => KubeCluster

function theMap(open: Open): void {
  test("holds the cluster data in an annotation and nothing else, as Go's stolonctl makes it", async () => {
    await using here = open()
    const ctl = await here.store("ctl")
    await ctl.write(document(), { kind: "absent" }, null, never)
    const { metadata, data } = await here.map()
    expect(metadata.name).toBe(`stolon-cluster-${here.name}`)
    expect(Object.keys(metadata.annotations).toSorted()).toEqual([
      "stolon-clusterdata",
      "stolon.io/write",
    ])
    expect(metadata.labels).toBeUndefined()
    expect(data).toBeUndefined()
  })

  test("write() and read() keep every byte of what is hard to keep, in 200 KB", async () => {
    await using here = open()
    const kv = await here.raw("ctl")
    const odd = "\u2028 <&> \\ \" \n é 漢 😀 '; DROP"
    const text = JSON.stringify({ odd, big: "x".repeat(200_000) })
    await kv.swap(`${here.base}/clusterdata`, text, { kind: "absent" }, null, never)
    expect((await kv.get(`${here.base}/clusterdata`, never))?.value).toBe(text)
  })

  test("D-90 keeps every field of the object that we know nothing of, and takes an immutable one", async () => {
    await using here = open()
    const recorded = await Bun.file(
      `${import.meta.dir}/../golden/kubernetes/configmap-foreign-fields.json`,
    ).json()
    const { labels, finalizers } = recorded.metadata
    const { data, binaryData } = recorded
    await here.annotate({ "example.com/note": "kept?" })
    await here.edit({ metadata: { labels, finalizers: [] }, data, binaryData, immutable: true })
    const ctl = await here.store("ctl")
    expect((await ctl.write(document(), { kind: "absent" }, null, never)).kind).toBe("written")
    expect((await ctl.write(document(), { kind: "anything" }, null, never)).kind).toBe("written")
    const after = await here.map()
    expect(after).toMatchObject({ data, binaryData, immutable: true, metadata: { labels } })
    expect(after.metadata.annotations).toMatchObject({ "example.com/note": "kept?" })
    expect(finalizers).not.toEqual([])
  })

  test("D-64 writes of others to the same object cost no conflict of the cluster data", async () => {
    await using here = open()
    const ctl = await here.store("ctl")
    await ctl.write(document(), { kind: "absent" }, null, never)
    let over = false
    const disturbing = (async () => {
      for (let i = 0; !over; i++) await here.annotate({ "example.com/count": String(i) })
    })()
    for (let i = 0; i < 5; i++) {
      const reading = await ctl.read(never)
      if (reading.version === null) throw new Error("expected a document")
      const replace = { kind: "version", version: reading.version } as const
      expect((await ctl.write(document(), replace, null, never)).kind).toBe("written")
    }
    over = true
    await disturbing
  }, 30_000)
}

function limits(open: Open): void {
  test("D-90 a specification that a leader could never write is refused before it is stored", async () => {
    await using here = open()
    const kv = await here.raw("ctl")
    const key = `${here.base}/clusterdata`
    const pgHBA = Array.from(
      { length: 1000 },
      (_, i) => `host all user${i} 10.0.0.0/8 md5 ${"#".repeat(60)}`,
    )
    const view = (lines: readonly string[]): string => {
      const db = { spec: { pgHBA: [] } }
      return JSON.stringify({ cluster: { spec: { pgHBA: lines } }, dbs: { one: db, two: db } })
    }
    expect(view(pgHBA).length).toBeLessThan(256 * 1024)
    const { error } = await timed(() => kv.swap(key, view(pgHBA), { kind: "absent" }, null, never))
    expect(error).toBeInstanceOf(StoreError)
    expect(error).toMatchObject({
      code: "denied",
      message: expect.stringMatching(/would grow to about \d+ bytes.*Nothing was written/s),
    })
    expect(await here.map()).toBeNull()
    await kv.swap(key, view(pgHBA.slice(0, 300)), { kind: "absent" }, null, never)
    expect((await kv.get(key, never))?.value).toBe(view(pgHBA.slice(0, 300)))
  })
}

function infos(open: Open): void {
  test("are where Go's components look for them, with a stamp beside them", async () => {
    await using here = open()
    const pod = await here.pod("keeper", "keeper-0")
    const store = await here.store("keeper", { pod })
    await store.read(never)
    await store.publish(keeper("keeper0"), ttl, never)
    const { metadata } = await here.podObject(pod)
    expect(JSON.parse(metadata.annotations["stolon-status"])).toMatchObject({ uid: "keeper0" })
    expect(JSON.parse(metadata.annotations["stolon.io/published"])).toEqual({
      of: expect.stringMatching(/^[0-9a-f]{8}$/),
      ttl: 20_000,
      at: expect.stringMatching(/^20/),
    })
    const seen = await (await here.store("sentinel")).infos(never)
    expect([...seen.keepers.keys()]).toEqual([k("keeper0")])
  })

  test("of Go's pods are read as recorded; D-64 a sentinel's pod without one is nobody", async () => {
    await using here = open()
    const recorded = await Bun.file(`${import.meta.dir}/../golden/kubernetes/pods.json`).json()
    for (const { metadata } of recorded.items) {
      const component = metadata.labels.component.replace("stolon-", "")
      await here.pod(component, metadata.name, metadata.annotations["stolon-status"])
    }
    await here.pod("sentinel", "silent")
    const found = await (await here.store("sentinel")).infos(never)
    expect([...found.keepers.keys()].map(String)).toEqual(["keeper0", "keeper1"])
    expect([found.sentinels.size, found.proxies.size, found.broken]).toEqual([2, 1, []])
  })

  test("D-88 one that is no JSON is reported beside the good ones", async () => {
    await using here = open()
    await here.pod("keeper", "good", `{"uid":"good"}`)
    await here.pod("keeper", "bad", "not JSON")
    await here.pod("keeper", "nobody", "{}")
    const found = await (await here.store("sentinel")).infos(never)
    expect([...found.keepers.keys()]).toEqual([k("good")])
    expect(found.broken.map(({ key }) => key.replace(/.*-/, "")).toSorted()).toEqual([
      "bad",
      "nobody",
    ])
  })

  test("D-89 of a pod that has failed count for nothing, though its annotation stays", async () => {
    await using here = open()
    const alive = await here.pod("proxy", "alive", `{"UID":"a"}`)
    const evicted = await here.pod("proxy", "evicted", `{"UID":"e"}`)
    const store = await here.store("sentinel")
    expect((await store.infos(never)).proxies.size).toBe(2)
    await here.setPhase(evicted, "Failed")
    expect([...(await store.infos(never)).proxies.keys()].map(String)).toEqual(["a"])
    expect((await here.podObject(alive)).status.phase).toBe("Pending")
  })

  test("D-89 a leftover pod with the uid of a living keeper does not speak for it", async () => {
    await using here = open()
    const pod = await here.pod("keeper", "keeper-0")
    await here.pod("keeper", "zz-old", `{"uid":"keeper0","infoUID":"old"}`)
    const [publisher, reader] = [await here.store("keeper", { pod }), await here.store("sentinel")]
    await publisher.read(never)
    await publisher.publish(keeper("keeper0", 1), ttl, never)
    // a newcomer, to whom both are new, believes the one with the stamp
    expect((await reader.infos(never)).keepers.get(k("keeper0"))).toEqual(keeper("keeper0", 1).info)
    await publisher.publish(keeper("keeper0", 2), ttl, never)
    expect((await reader.infos(never)).keepers.get(k("keeper0"))).toEqual(keeper("keeper0", 2).info)
  })

  test("D-89 what a dead pod said long ago is nothing to a leader that has just begun to look", async () => {
    await using here = open()
    const pod = await here.pod("keeper", "keeper-0")
    const publisher = await here.store("keeper", { pod })
    await publisher.read(never)
    await publisher.publish(keeper("keeper0"), millis(1000), never)
    const size = async (): Promise<number> =>
      (await (await here.store("sentinel")).infos(never)).keepers.size
    expect(await size()).toBe(1)
    await until("a newcomer to find nobody", async () => (await size()) === 0, 15_000)
    await publisher.publish(keeper("keeper0", 2), ttl, never)
    expect(await size()).toBe(1)
  }, 30_000)

  test("come back with the next publish when a pod is made anew under its name", async () => {
    await using here = open()
    const pod = await here.pod("keeper", "keeper-0")
    const [publisher, reader] = [await here.store("keeper", { pod }), await here.store("sentinel")]
    await publisher.publish(keeper("keeper0", 1), ttl, never)
    await here.deletePod(pod)
    expect((await reader.infos(never)).keepers.size).toBe(0)
    const { error } = await timed(() => publisher.publish(keeper("keeper0", 2), ttl, never))
    expect(error).toMatchObject({ message: expect.stringContaining("POD_NAME") })
    await here.pod("keeper", "keeper-0")
    await publisher.publish(keeper("keeper0", 3), ttl, never)
    expect((await reader.infos(never)).keepers.size).toBe(1)
  })
}

function rights(open: Open, server: () => KubeServer): void {
  test("of a keeper and a proxy suffice for their work and for nothing of the leader's", async () => {
    await using here = open()
    const ctl = await here.store("ctl")
    await ctl.write(document(), { kind: "absent" }, null, never)
    for (const account of ["keeper", "proxy"] as const) {
      const pod = await here.pod(account, `${account}-0`)
      const store = await here.store(account, { pod })
      expect((await store.read(never)).kind).toBe("found")
      await store.publish(keeper("keeper0"), ttl, never)
      await store.infos(never)
      await store.withdraw({ kind: "keeper", uid: k("keeper0") }, never)
      const { error } = await timed(() =>
        store.write(document(), { kind: "anything" }, null, never),
      )
      expect(error).toMatchObject({ code: "denied", message: expect.stringContaining("forbidden") })
    }
  })

  test("as Go's components need them serve, too: without the right to watch changes are seen later", async () => {
    await using here = open()
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${server().namespace}`
    await server().admin("PATCH", `${rbac}/roles/stolon-proxy`, {
      rules: [
        { apiGroups: [""], resources: ["configmaps"], verbs: ["get"] },
        { apiGroups: [""], resources: ["pods"], verbs: ["get", "patch"] },
      ],
    })
    const [ctl, store] = [await here.store("ctl"), await here.store("proxy")]
    const stop = new AbortController()
    let wakes = 0
    const watching = store.watch("clusterdata", () => wakes++, stop.signal)
    await until("the first look", () => wakes > 0)
    const before = wakes
    await ctl.write(document(), { kind: "absent" }, null, never)
    await until("a wake-up without a watch", () => wakes > before, 15_000)
    stop.abort()
    await watching
  }, 40_000)

  test("of a client certificate are those of its name", async () => {
    await using here = open()
    const known = await server().client("stolon-ctl")
    const stranger = await server().client("stranger")
    const settings = await here.settings("ctl")
    const as = async (identity: Parameters<KubeServer["kubeconfig"]>[0]) => {
      const kubeconfig = server().kubeconfig(identity)
      const { openStore } = await import("#store/open.ts")
      const kubernetes = { kubeconfig, context: "", namespace: "", podName: null }
      await using store = await openStore({ ...settings, kubernetes })
      return await timed(() => store.read(never))
    }
    expect(await as(known)).toMatchObject({ error: null, value: { kind: "absent" } })
    expect((await as(stranger)).error).toMatchObject({ code: "denied" })
    expect((await as({ token: "wrong" })).error).toMatchObject({ code: "denied" })
  })
}
