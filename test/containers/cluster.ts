/**
 * A cluster in containers: what `stolon generate compose` writes, started by testcontainers instead
 * of Compose, service by service with what the file says of it. So the file is tested too.
 *
 * Everything that was started is gone when it is disposed of.
 */
import {
  GenericContainer,
  Network,
  type StartedTestContainer,
  Wait,
  getContainerRuntimeClient,
} from "testcontainers"
import * as v from "valibot"
import { type Facts, facts } from "#ctl/status.ts"
import type { Store } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { settingsOf } from "#test/conformance/scene.ts"
import { until } from "#test/conformance/wait.ts"
import { binary } from "#test/e2e/place.ts"
import type { Door } from "#test/e2e/writer.ts"

const text = v.string()
const serviceSchema = v.object({
  image: text,
  command: v.array(text),
  hostname: v.optional(text),
  environment: v.optional(v.record(text, text), {}),
  security_opt: v.optional(v.array(text), []),
  cap_drop: v.optional(v.array(text), []),
  read_only: v.optional(v.boolean(), false),
  shm_size: v.optional(text, "64mb"),
  stop_grace_period: v.optional(text, "10s"),
  volumes: v.optional(v.array(text), []),
  ports: v.optional(v.array(text), []),
  healthcheck: v.optional(v.object({ test: v.array(text) })),
})
type Service = v.InferOutput<typeof serviceSchema>
const fileSchema = v.object({ services: v.record(text, serviceSchema) })

/** A container, made after its service. */
export interface Box {
  readonly name: string
  readonly service: Service
  /** SIGKILL to everything in it. */
  kill(): Promise<void>
  /** `docker stop` with the file's grace period: milliseconds that it took, and the exit code. */
  stop(): Promise<{ readonly ms: number; readonly code: number }>
  start(): Promise<void>
  pause(): Promise<void>
  unpause(): Promise<void>
  disconnect(): Promise<void>
  connect(): Promise<void>
  /** Another container in its place, which finds an empty volume. */
  renew(): Promise<void>
  /** A program in it, as the user of the image. */
  run(...words: readonly string[]): Promise<{ readonly code: number; readonly output: string }>
  /** The same through a shell; throws unless it ends well. */
  shell(script: string): Promise<string>
  /** The port of this machine that leads to one of its own. */
  port(inner: number): number
  log(): Promise<string>
}

export interface Containers extends AsyncDisposable {
  readonly boxes: readonly Box[]
  box(name: string): Box
  /** To the primary through the first proxy. */
  readonly door: Door
  /** The same through another proxy or to its port for standbys. */
  doorOf(proxy: string, port: 5432 | 5433): Door
  facts(): Promise<Facts>
  primary(): Promise<Box>
  /** Waits until every keeper runs its part, converged. */
  settled(ms?: number): Promise<Facts>
  /** `stolon ctl …`, as the file tells its reader to call it. */
  ctl(...argv: readonly string[]): Promise<string>
  logs(): Promise<string>
}

const clusterName = "boxes"
const never = new AbortController().signal
/** Generous: nine containers on two cores. */
const settleMs = 120_000

export async function startContainers(
  spec: Readonly<Record<string, unknown>>,
): Promise<Containers> {
  await using building = new AsyncDisposableStack()
  const services = generated()
  const network = await new Network().start()
  building.defer(async () => void (await network.stop()))
  // all at once, as Compose does: etcd is ready when most members are there
  const boxes = await Promise.all(
    Object.entries(services).map(([name, service]) => newBox(name, service, network)),
  )
  for (const each of boxes) building.use(each)
  const box = (name: string): Box => {
    const found = boxes.find((each) => each.name === name)
    if (found === undefined) throw new Error(`there is no container ${name}`)
    return found
  }
  const endpoints = Object.keys(services)
    .filter((name) => name.startsWith("etcd"))
    .map((name) => `http://127.0.0.1:${box(name).port(2379)}`)
  const store = building.use(await openStore(settingsOf("etcdv3", endpoints, clusterName)))
  const ctl = async (...argv: readonly string[]): Promise<string> => {
    const { code, output } = await box("sentinel1").run("stolon", "ctl", ...argv)
    if (code !== 0) throw new Error(`ctl ${argv.join(" ")} ended with ${code}: ${output}`)
    return output
  }
  await ctl("init", "--yes", JSON.stringify({ initMode: "new", ...spec }))
  const password = services["keeper1"]?.environment["STKEEPER_PG_SU_PASSWORD"] ?? ""
  const doorOf = (proxy: string, port: 5432 | 5433): Door => ({
    host: "127.0.0.1",
    port: box(proxy).port(port),
    user: "postgres",
    password,
  })
  const owned = building.move()
  return {
    boxes,
    box,
    door: doorOf("proxy1", 5432),
    doorOf,
    ctl,
    facts: () => look(store),
    primary: async () => box((await look(store)).primary?.keeper ?? "none"),
    settled: (ms = settleMs) => until("the cluster to settle", () => isSettled(store, boxes), ms),
    logs: async () =>
      (await Promise.all(boxes.map(async (each) => `--- ${each.name}\n${await each.log()}`))).join(
        "\n",
      ),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** What the executable itself writes. */
function generated(): Readonly<Record<string, Service>> {
  const words = [
    "generate",
    "compose",
    `--cluster-name=${clusterName}`,
    "--with-passwords",
    "--proxies=2",
  ]
  const { success, stdout, stderr } = Bun.spawnSync([binary, ...words])
  if (!success) throw new Error(stderr.toString())
  return v.parse(fileSchema, Bun.YAML.parse(stdout.toString())).services
}

type StartedNetwork = Awaited<ReturnType<Network["start"]>>

/** With what testcontainers has no word for. */
class ServiceContainer extends GenericContainer {
  readOnly(is: boolean): this {
    this.hostConfig.ReadonlyRootfs = is
    return this
  }
}

function container(name: string, service: Service, network: StartedNetwork): ServiceContainer {
  const ports = name.startsWith("etcd")
    ? [2379]
    : service.ports.map((port) => Number(port.split(":").at(-1)))
  const mounts = service.volumes.map((volume) => {
    const [source = "", target = ""] = volume.split(":")
    return { source, target }
  })
  return new ServiceContainer(service.image)
    .readOnly(service.read_only)
    .withCommand([...service.command])
    .withEnvironment(service.environment)
    .withHostname(service.hostname ?? name)
    .withNetwork(network)
    .withNetworkAliases(name)
    .withDroppedCapabilities(...service.cap_drop)
    .withSecurityOpt(...service.security_opt)
    .withSharedMemorySize(Number.parseInt(service.shm_size, 10) * 1024 * 1024)
    .withBindMounts(mounts)
    .withExposedPorts(...ports)
    .withWaitStrategy(Wait.forLogMessage(name.startsWith("etcd") ? /ready to serve/ : /uid/))
    .withStartupTimeout(settleMs)
}

/** Of a log that explains a failure; what comes again and again is left out. */
const linesMax = 120
const noise =
  /too many clients|parameters\.unchanged|is starting up|is shutting down|WARNING|DETAIL/

async function newBox(
  name: string,
  service: Service,
  network: StartedNetwork,
): Promise<Box & AsyncDisposable> {
  const { dockerode } = (await getContainerRuntimeClient()).container
  let started: StartedTestContainer = await container(name, service, network).start()
  const engine = () => dockerode.getContainer(started.getId())
  const wire = () => dockerode.getNetwork(network.getId())
  const remove = async (): Promise<void> => {
    await engine().remove({ force: true, v: true })
    for (const volume of service.volumes)
      await dockerode.getVolume(volume.split(":")[0] ?? "").remove()
  }
  const run: Box["run"] = async (...words) => {
    const { exitCode, output } = await started.exec([...words])
    return { code: exitCode, output }
  }
  return {
    name,
    service,
    kill: async () => {
      await engine().kill({ signal: "SIGKILL" })
      await engine().wait()
    },
    stop: async () => {
      const begun = performance.now()
      await engine().stop({ t: Number.parseInt(service.stop_grace_period, 10) })
      const ms = performance.now() - begun
      return { ms, code: (await engine().inspect()).State.ExitCode }
    },
    start: async () => void (await engine().start()),
    pause: async () => void (await engine().pause()),
    unpause: async () => void (await engine().unpause()),
    disconnect: async () => void (await wire().disconnect({ Container: started.getId() })),
    connect: async () => {
      const again = { Container: started.getId(), EndpointConfig: { Aliases: [name] } }
      await wire().connect(again)
    },
    renew: async () => {
      await remove()
      started = await container(name, service, network).start()
    },
    run,
    shell: async (script) => {
      const { code, output } = await run("bash", "-c", script)
      if (code !== 0) throw new Error(`${name}: ${script} ended with ${code}: ${output}`)
      return output.trim()
    },
    port: (inner) => started.getMappedPort(inner),
    log: async () => {
      const said = await engine().logs({ stdout: true, stderr: true, tail: 5_000, follow: false })
      // each piece has a head of eight bytes
      const lines = said
        .toString("latin1")
        .replace(/[\u0000-\u0002]\0{3}[^]{4}/g, "")
        .split("\n")
      return lines
        .filter((line) => !noise.test(line))
        .slice(-linesMax)
        .join("\n")
    },
    [Symbol.asyncDispose]: remove,
  }
}

async function look(store: Store): Promise<Facts> {
  const [reading, infos, leader] = await Promise.all([
    store.read(never),
    store.infos(never),
    store.leader(never),
  ])
  const data = reading.kind === "found" ? reading.data : null
  return facts(clusterName, { data, infos, leader })
}

/** Throws what is missing, so that a deadline's message says it. */
async function isSettled(store: Store, boxes: readonly Box[]): Promise<Facts> {
  const now = await look(store)
  const missing = now.waiting.map(({ text: what }) => what)
  if (now.primary === null || !now.primary.gateOpen) missing.push("an open gate")
  const top = now.members.find((member) => member.role === "primary")?.timeline
  for (const { name } of boxes.filter((each) => each.name.startsWith("keeper"))) {
    const member = now.members.find(({ keeper }) => keeper === name)
    if (member === undefined) missing.push(`${name} to be taken in`)
    else if (!member.reporting || member.healthy !== true) missing.push(`${name} to be well`)
    else if (member.role === "none") missing.push(`${name} to have a part`)
    else if (!member.postgresHealthy) missing.push(`PostgreSQL of ${name} to be well`)
    else if (member.timeline !== top) missing.push(`${name} to reach timeline ${top}`)
  }
  for (const proxy of now.proxies)
    if (!proxy.current || !proxy.enabled) missing.push(`${proxy.uid} to lead to it`)
  if (missing.length > 0) throw new Error(missing.join("; "))
  return now
}

/** Where images and engine are not, the tests say so. */
export const withoutEngine =
  process.env["STOLON_TEST_CONTAINERS"] === "1"
    ? null
    : "no engine here; make e2e-containers starts one"
