/**
 * `stolon ctl register` beside a real Consul agent, with the recorded cluster data of a live
 * cluster as its store has them.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type ClusterData, decodeClusterData } from "#model/cluster.ts"
import type { DBUID } from "#model/ids.ts"
import { openStore } from "#store/open.ts"
import { golden } from "#test/unit/ctl/golden.ts"
import { type ConsulCluster, consulMissing, startConsul } from "./consul.ts"
import { never, settingsOf } from "./scene.ts"
import { until } from "./wait.ts"

const name = "demo"

function recorded(): ClusterData {
  const data = decodeClusterData(golden("clusterdata-sync.json"))
  if (data === null) throw new Error("no cluster data recorded")
  return data
}

interface AgentService {
  readonly ID: string
  readonly Service: string
  readonly Tags: readonly string[]
}

if (consulMissing !== null) test.skip(`register (skipped: ${consulMissing})`, () => {})
else {
  let consul: ConsulCluster
  beforeAll(async () => {
    consul = await startConsul()
  }, 60_000)
  afterAll(() => consul[Symbol.asyncDispose]())

  /** What the agent has, as `id tags`; other programs' services are none of ours. */
  const services = async (): Promise<readonly string[]> => {
    const answer = await consul.servers[0]?.request("GET", "agent/services")
    const all: Readonly<Record<string, AgentService>> = JSON.parse(answer ?? "{}")
    return Object.values(all)
      .filter(({ Service }) => Service === name)
      .map(({ ID, Tags }) => `${ID} ${Tags.join()}`)
      .toSorted()
  }
  const is = (what: string, expected: readonly string[]): Promise<unknown> =>
    until(what, async () => {
      const now = await services()
      if (now.join(";") === expected.join(";")) return true
      throw new Error(now.join("; "))
    })

  test("D-86 register keeps the agent in step with the cluster, whatever the agent loses", async () => {
    const [server] = consul.servers
    if (server === undefined) throw new Error("there is no server")
    await server.request("PUT", "agent/service/register", { ID: "other", Name: "other" })
    await using store = await openStore(settingsOf("consul", consul.endpoints, name))
    const write = async (data: ClusterData): Promise<void> => {
      expect((await store.write(data, { kind: "anything" }, null, never)).kind).toBe("written")
    }
    const data = recorded()
    await write(data)
    const argv = [
      ...["ctl", "register", `--cluster-name=${name}`, "--store-backend=consul"],
      ...[`--store-endpoints=${server.endpoint}`, `--register-endpoints=${server.endpoint}`],
      ...["--register-master", "--tag-master-as=primary", "--sleep-interval=1"],
    ]
    const script = join(import.meta.dir, "../../cmd/stolon.ts")
    const child = Bun.spawn([process.execPath, script, ...argv], {
      stdio: ["ignore", "inherit", "inherit"],
    })
    try {
      const primary = data.proxy.spec.masterDbUid
      const standbys = [...data.dbs.keys()].filter((uid) => uid !== primary)
      const tagged = (of: ReadonlyMap<DBUID, string>): readonly string[] =>
        [...of].map(([uid, tag]) => `${uid} ${tag}`).toSorted()
      const usual = tagged(
        new Map([[primary, "primary"], ...standbys.map((uid) => [uid, "slave"] as const)]),
      )
      await is("all to be registered", usual)

      const [heir] = standbys
      if (heir === undefined) throw new Error("a standby was recorded")
      const failed = new Map(data.dbs)
      failed.delete(primary)
      const proxy = { ...data.proxy, spec: { ...data.proxy.spec, masterDbUid: heir } }
      await write({ ...data, dbs: failed, proxy })
      await is(
        "the heir to be the primary",
        tagged(new Map(standbys.map((uid) => [uid, uid === heir ? "primary" : "slave"]))),
      )

      await write(data)
      await is("the old one to be back", usual)
      await server.kill()
      rmSync(join(consul.directory, "server0", "services"), { recursive: true, force: true })
      server.start()
      await consul.settled()
      await is("all to be registered with an agent that forgot them", usual)
      child.kill("SIGTERM")
      expect(await child.exited).toBe(0)
      await is("all to stay", usual)
    } finally {
      child.kill("SIGKILL")
      await child.exited
    }
  }, 90_000)
}
