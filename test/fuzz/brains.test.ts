/**
 * A document that the border takes may still say nonsense: dangling references, a primary that does
 * not exist, times in the future, names made of quotes. No brain may throw on it, none may write a
 * document that crashes a Go component (G13), and a keeper may destroy nothing because of it.
 */
import { expect, test } from "bun:test"
import { millis, type Now } from "#base/brand.ts"
import { type Random, generator } from "#base/random.ts"
import { facts } from "#ctl/status.ts"
import { goStatusJson, goStatusText } from "#ctl/status-go.ts"
import { statusJson, statusText } from "#ctl/status-text.ts"
import { emptyMemory as emptyKeeperMemory, succeeded } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import { type ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { decode, zeroTime } from "#model/codec.ts"
import { bootUUID, generation, infoUID, keeperUID } from "#model/ids.ts"
import { type Infos, KeeperInfo, ProxyInfo } from "#model/info.ts"
import { steps } from "#model/step.ts"
import { validate } from "#model/validation.ts"
import type { Store } from "#port/store.ts"
import { decide as decideProxy, expire, newMemory } from "#proxy/brain.ts"
import { decide } from "#sentinel/decide.ts"
import { emptyMemory, interrupt, watch } from "#sentinel/memory.ts"
import type { Entry, KeyValue } from "#store/keyvalue.ts"
import { storeOver } from "#store/store.ts"
import { settings } from "#test/unit/keeper/build.ts"
import { type Machine, apply, dir, emptyMachine, observe } from "#test/unit/keeper/model.ts"
import { fuzz, pick } from "./fuzz.ts"
import { clusterDatas, keeperInfos, proxyInfos } from "./golden.ts"
import { type Tree, bent, print } from "./mutate.ts"

const at = (mono: number): Now => ({ mono: millis(mono), wall: zeroTime })
const never = new AbortController().signal

/** A document that decodes; most are odd, one in four is as Go wrote it. */
function accepted(random: Random): ClusterData | null {
  const tree = pick(random, clusterDatas)
  try {
    return decodeClusterData(random.below(4) === 0 ? print(tree) : bent(random, tree))
  } catch {
    return null
  }
}

function taken<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

/** What components might have published: for those of the document, or for nobody. */
function infosFor(random: Random, data: ClusterData): Infos {
  const some = (trees: readonly Tree[]): string =>
    random.below(3) === 0 ? print(pick(random, trees)) : bent(random, pick(random, trees))
  const keepers = new Map<KeeperInfo["uid"], KeeperInfo>()
  for (const uid of [...data.keepers.keys(), keeperUID("stranger")]) {
    const info = taken(() => decode(KeeperInfo, some(keeperInfos)))
    if (info === null || random.below(5) === 0) continue
    const db = [...data.dbs.values()].find(({ spec }) => spec.keeperUID === uid)
    const state = info.postgresState
    keepers.set(uid, {
      ...info,
      uid,
      infoUID: infoUID(random.uid()),
      ...(state === undefined || db === undefined || random.below(3) === 0
        ? {}
        : { postgresState: { ...state, uid: db.uid, generation: db.generation } }),
    })
  }
  const proxies = new Map<ProxyInfo["UID"], ProxyInfo>()
  for (let i = random.below(3); i > 0; i--) {
    const info = taken(() => decode(ProxyInfo, some(proxyInfos)))
    if (info !== null) proxies.set(info.UID, { ...info, infoUID: infoUID(random.uid()) })
  }
  return { keepers, proxies, sentinels: new Map(), broken: [] }
}

fuzz(
  "D-79 D-23 a sentinel decides on odd documents, and writes none that crashes Go",
  1_000,
  (random) => {
    let data = accepted(random)
    let memory = emptyMemory
    let mono = 1_000_000
    for (let round = 0; round < 5; round++) {
      if (data === null || validate(data.cluster.spec) !== null) return // the agent asks first
      if (random.below(6) === 0) memory = interrupt(memory)
      const snapshot = { data, infos: infosFor(random, data) }
      memory = watch(memory, snapshot, at(mono))
      const { output, memory: after } = decide(snapshot, memory, at(mono), random.below(1e9))
      mono += pick(random, [10, 1_000, 6_000, 25_000, 90_000])
      if (output.kind === "broken") expect(output.rules.length).toBeGreaterThan(0)
      if (output.kind !== "write") continue
      const text = encodeClusterData(output.data)
      expect(text).not.toMatch(/"(cluster|spec|proxy|keepers|dbs)":null/)
      memory = after
      data = decodeClusterData(text)
    }
  },
)

/** Machines that a keeper may find. */
const machines: readonly ((uid: string) => Machine)[] = [
  () => emptyMachine,
  (uid) => withDB(uid, { ...emptyMachine, data: dir("old") }),
  (uid) => withDB(uid, { ...emptyMachine, data: dir("old"), side: dir("copy") }),
  (uid) =>
    withDB(uid, {
      ...emptyMachine,
      data: dir("old", { files: { conf: "", hba: "", signal: "standby" } }),
      server: { ready: true, inRecovery: true, conf: new Map(), hba: "", restartNeeded: false },
    }),
  (uid) =>
    withDB(uid, {
      ...emptyMachine,
      data: dir("old"),
      server: { ready: true, inRecovery: false, conf: new Map(), hba: "", restartNeeded: true },
    }),
]
const withDB = (uid: string, machine: Machine): Machine => ({
  ...machine,
  db: { ...machine.db, uid: machine.db.uid.replace(/^$/, uid) as never, generation: 1 as never },
})

fuzz("D-79 a keeper plans on odd documents, and its steps can be carried out", 1_000, (random) => {
  const view = accepted(random)
  if (view === null) return
  const boot = bootUUID("boot-1")
  const uid = pick(random, [...view.keepers.keys(), keeperUID("k1")])
  const booted = view.keepers.get(uid)
  const known =
    booted === undefined || random.below(4) === 0
      ? view
      : {
          ...view,
          keepers: new Map(view.keepers).set(uid, {
            ...booted,
            status: { ...booted.status, bootUUID: boot },
          }),
        }
  const mine = [...view.dbs.values()].find(({ spec }) => spec.keeperUID === uid)?.uid ?? "db1"
  let machine = pick(random, machines)(random.below(4) === 0 ? "another" : mine)
  let memory = emptyKeeperMemory
  const who = { ...settings, uid, boot }
  for (let mono = 1_000; mono < 40_000; mono += 1_500) {
    const made = plan({ view: known, local: observe(machine), settings: who }, memory, millis(mono))
    const [step] = made.steps
    if (step === undefined) return
    expect(Object.hasOwn(steps, step.kind)).toBe(true)
    memory = succeeded(made.memory, step, who, millis(mono)).memory
    machine = apply(machine, step)
    // the one data directory of this machine is there as long as no other is
    if (machine.destroyed.includes("old")) expect(machine.data?.origin).not.toBe("old")
  }
})

fuzz("D-79 a proxy routes by odd documents to a real address or to nobody", 3_000, (random) => {
  const data = accepted(random)
  if (data === null) return
  const self = data.proxy.spec.enabledProxies[0] ?? ("5b0c66fa" as never)
  const memory = newMemory(at(0))
  const destination = random.below(2) === 0 ? null : { host: "10.0.0.1", port: 5432 }
  const listening = random.below(2) === 0
  const [draining, told] = [random.below(4) === 0, generation(random.below(9))]
  const reads = random.below(2) === 0 ? "none" : "open"
  const here = { self, readAt: millis(1_000), destination, draining, told, listening }
  const snapshot = { ...here, reads } as const
  const decision = decideProxy({ ...snapshot, view: { kind: "found", data } }, memory, at(1_500))
  for (const act of decision.output.acts) {
    if (act.kind === "forward") {
      const { host, port } = act.to
      expect([host !== "", Number.isInteger(port), port > 0, port < 65_536]).toEqual(
        Array.from({ length: 4 }, () => true),
      )
      expect(data.dbs.get(data.proxy.spec.masterDbUid)?.status.listenAddress).toBe(host)
    }
    if (act.kind === "drain") expect([destination === null, draining]).toEqual([false, false])
    if (act.kind === "publish") expect(act.info.ttl).toBeGreaterThanOrEqual(20_000)
  }
  const { timeout, checkInterval } = decision.memory
  expect([timeout >= 0, checkInterval >= 50]).toEqual([true, true])
  expire({ ...snapshot, word: null }, decision.memory, at(1e9), true)
})

fuzz("D-66 status is printed for odd documents and odd infos", 800, (random) => {
  const data = accepted(random)
  if (data === null) return
  const found = { data, infos: infosFor(random, data), leader: null }
  const told = facts("c", found)
  JSON.parse(statusJson(told))
  expect(statusText(told)).not.toBe("")
  JSON.parse(goStatusJson(found))
  expect(goStatusText(found)).not.toBe("")
})

/** A store that only lists. */
function listing(values: readonly (readonly [string, string])[]): Store {
  const entry = ([key, value]: readonly [string, string]): Entry => ({
    key,
    value,
    version: "1" as never,
    created: 1n,
  })
  const list: KeyValue["list"] = (prefixes) =>
    Promise.resolve(
      prefixes.map((prefix) => values.filter(([key]) => key.startsWith(prefix)).map(entry)),
    )
  // only `list` is asked
  return storeOver({ list } as KeyValue, { prefix: "p", clusterName: "c" })
}

fuzz("one broken info silences no other (reference 3.1)", 1_500, async (random) => {
  const good = { UID: random.uid(), infoUID: random.uid(), Generation: 1, ProxyTimeout: 1 }
  const keeper = { uid: "good", infoUID: random.uid(), postgresBinaryVersion: { Maj: 15, Min: 1 } }
  const bad = [...keeperInfos, ...proxyInfos]
  const store = listing([
    ["p/c/keepers/info/bad", bent(random, pick(random, bad))],
    ["p/c/keepers/info/good", JSON.stringify(keeper)],
    ["p/c/proxies/info/bad", bent(random, pick(random, bad))],
    ["p/c/proxies/info/good", JSON.stringify(good)],
    ["p/c/sentinels/info/bad", bent(random, pick(random, bad))],
  ])
  const infos = await store.infos(never)
  expect(infos.keepers.get("good" as never)?.infoUID).toBe(keeper.infoUID as never)
  expect(infos.proxies.get(good.UID as never)?.infoUID).toBe(good.infoUID as never)
  for (const { key, error } of infos.broken) {
    expect(key).toEndWith("/bad")
    expect(error).not.toBe("")
  }
})

test("odd documents reach the brains often enough to mean something", () => {
  let [valid, seen] = [0, 0]
  for (let seed = 1; seed <= 400; seed++) {
    const data = accepted(generator(seed))
    if (data === null) continue
    seen++
    if (validate(data.cluster.spec) === null) valid++
  }
  expect([seen > 130, valid > 100]).toEqual([true, true])
})
