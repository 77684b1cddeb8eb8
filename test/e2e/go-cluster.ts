/**
 * A cluster of Go stolon on real etcd and PostgreSQL, made by the scripted peers: what an operator
 * has before the first component of ours is started. Each component can be ended as its supervisor
 * would end it; PostgreSQL's files and the documents in the store are what Go leaves.
 */
import { millis } from "#base/brand.ts"
import { relay } from "#relay/relay.ts"
import { openStore } from "#store/open.ts"
import { until } from "#test/conformance/wait.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { make, marshal } from "#test/peers/codec.ts"
import { GoClusterData, type GoData, GoSpec, readGo } from "#test/peers/documents.ts"
import { runGoKeeper, sigkill } from "#test/peers/keeper.ts"
import { runGoProxy } from "#test/peers/proxy.ts"
import { runGoSentinel } from "#test/peers/sentinel.ts"
import { type GoPorts, type GoStore, goStore } from "#test/peers/store.ts"
import { type RealMachine, replication } from "./go-machine.ts"
import type { ComponentKind, Platform } from "./cluster.ts"
import { superuser, superuserPassword } from "./place.ts"

/** A running Go component. */
export interface GoPart {
  /** SIGTERM. */
  stop(): Promise<void>
  /** SIGKILL: a keeper's PostgreSQL runs on. */
  kill(): Promise<void>
}

export interface GoSide extends AsyncDisposable {
  readonly store: GoStore
  readonly lines: readonly string[]
  init(spec: Partial<GoSpec>): Promise<void>
  keeper(uid: string, machine: RealMachine): GoPart
  sentinel(): GoPart
  proxy(port: number): GoPart
}

export async function goSide(platform: Platform): Promise<GoSide> {
  const stores = new AsyncDisposableStack()
  const store = stores.use(await openStore(platform.settings))
  const go = goStore(store)
  const lines: string[] = []
  const parts = new Set<GoPart>()
  const run = (
    name: string,
    kind: ComponentKind,
    work: (ports: GoPorts, signal: AbortSignal) => Promise<void>,
  ): GoPart => {
    const end = new AbortController()
    const log = (line: string): void => void lines.push(`go ${name}: ${line}`)
    const begin = async (): Promise<void> => {
      // not closed before the end: what a killed component has said stays for its time
      const own = stores.use(await openStore(await platform.settingsOf(name, kind)))
      const ports = { store: goStore(own), clock: realClock, chance: realChance, log }
      await work(ports, end.signal)
    }
    const ended = begin().catch((error: unknown) => log(`ended: ${String(error)}`))
    const part: GoPart = {
      async stop() {
        parts.delete(part)
        end.abort(new Error("SIGTERM"))
        await ended
      },
      async kill() {
        parts.delete(part)
        end.abort(sigkill)
        await ended
      },
    }
    parts.add(part)
    return part
  }
  return {
    store: go,
    lines,
    async init(spec) {
      const first = make(GoClusterData, { formatVersion: 1, keepers: new Map(), dbs: new Map() })
      const cluster = {
        uid: realChance.uid(),
        generation: 1,
        changeTime: realClock.now().wall,
        spec: make(GoSpec, spec),
        status: { currentGeneration: 0, phase: "initializing", master: "" },
      }
      const proxy = {
        uid: "",
        generation: 0,
        changeTime: "0001-01-01T00:00:00Z",
        spec: { masterDbUid: "", enabledProxies: null },
        status: {},
      }
      const text = marshal(GoClusterData, { ...first, cluster, proxy })
      if (!(await go.swap(text, { text: null, version: null }, signal)))
        throw new Error("there is a cluster already")
    },
    keeper: (uid, machine) =>
      run(uid, "keeper", (ports, signal) =>
        runGoKeeper(
          ports,
          machine,
          {
            uid,
            address: "127.0.0.1",
            port: String(machine.port),
            superuser: { name: superuser, password: superuserPassword },
            replication,
          },
          signal,
        ),
      ),
    sentinel: () =>
      run("sentinel", "sentinel", (ports, signal) =>
        runGoSentinel(ports, ports.chance.uid(), signal),
      ),
    proxy: (port) =>
      run("proxy", "proxy", async (ports, signal) => {
        await using carrier = relay({
          host: "127.0.0.1",
          port,
          dialTimeout: millis(5_000),
          keepalive: { idle: 0, interval: 0, count: 0 },
          hold: { timeout: millis(0), max: 0 },
          max: 0,
          prefaced: false,
        })
        await runGoProxy({ ...ports, relay: carrier }, ports.chance.uid(), signal)
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all([...parts].map((part) => part.stop()))
      await stores.disposeAsync()
    },
  }
}

const { signal } = new AbortController()

export const view = async (go: GoSide): Promise<GoData> => {
  const data = readGo((await go.store.read(signal)).text)
  if (data === null) throw new Error("there is no cluster data")
  return data
}

/**
 * Everybody has applied what is asked, and the gate is open; throws what is missing. What a keeper
 * that is gone had published stays for its time to live: `gone` are the starts that do not count.
 */
export async function settled(
  go: GoSide,
  keepers: readonly string[],
  gone: readonly string[] = [],
): Promise<GoData> {
  return until(
    "the cluster to settle",
    async () => {
      const data = await view(go)
      const { keepers: infos } = await go.store.infos(signal)
      const missing = keepers.filter((uid) => {
        const db = [...data.dbs.values()].find((each) => each.spec.keeperUID === uid)
        const info = infos.get(uid)
        return (
          db === undefined ||
          info?.postgresState?.healthy !== true ||
          gone.includes(info.bootUUID) ||
          info.bootUUID !== data.keepers.get(uid)?.status.bootUUID ||
          info.postgresState.generation !== db.generation ||
          db.status.currentGeneration !== db.generation
        )
      })
      const { masterDbUid, enabledProxies } = data.proxy.spec
      if (masterDbUid === "") missing.push("the gate")
      if ((enabledProxies ?? []).length !== 1) missing.push("one enabled proxy")
      if (missing.length > 0) throw new Error(missing.join())
      return data
    },
    60_000,
  )
}

/** The start of a keeper that the leader has seen. */
export const bootOf = async (go: GoSide, uid: string): Promise<string> =>
  (await view(go)).keepers.get(uid)?.status.bootUUID ?? ""

/** Who wrote last: Go signs nothing and drops what it does not know. */
export async function lastWriter(go: GoSide): Promise<"ours" | "go"> {
  const { text } = await go.store.read(signal)
  return text?.includes('"writer":') === true ? "ours" : "go"
}
