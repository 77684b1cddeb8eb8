/**
 * `stolon dev`: a whole cluster on one machine, for people who want to try it, break it or develop
 * against it. One supervisor, and every part in a process of its own, started exactly as an
 * operator would start it.
 *
 * It is not for production: one machine, one disk. What it may never do is lose a clone of
 * somebody's data by surprise: it begins a cluster only where there is none, and never removes a
 * file.
 */
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { millis } from "#base/brand.ts"
import { generator } from "#base/random.ts"
import { devCommand, type devFlags } from "#cli/dev.ts"
import type { Values } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { newCluster, withRecommended } from "#ctl/spec.ts"
import { newClusterData } from "#model/cluster.ts"
import { newCluster as newClusterUID } from "#model/ids.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { isCompiled, selfCommand } from "#system/self.ts"
import { onShutdown } from "#system/signals.ts"
import { type Absence, type Family, family } from "./dev-children.ts"
import { type Display, openDisplay } from "./dev-display.ts"
import { localPids } from "./dev-pids.ts"
import {
  DevError,
  type Place,
  host,
  keeperDirectory,
  keeperName,
  openPlace,
  postgresPrograms,
  replicationUser,
  superuser,
} from "./dev-place.ts"
import { become, localUser } from "./dev-user.ts"
import { watch } from "./dev-watch.ts"
import { begin, warn } from "./front.ts"
import { text } from "./service.ts"

type DevValues = Values<typeof devFlags>

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(devCommand, invocation)
  if (begun.kind === "exit") return begun.code
  try {
    return await dev(begun.values, invocation)
  } catch (error) {
    if (!(error instanceof DevError)) throw error
    await warn(`${invocation.program}: ${error.message}\n`)
    return 1
  }
}

async function dev(values: DevValues, invocation: Invocation): Promise<number> {
  const { env } = invocation
  const programs = postgresPrograms(values.pgBinPath)
  const etcd = values.storeBackend === "etcdv3" ? etcdProgram() : ""
  const root = process.getuid?.() === 0
  const directory = resolve(values.dir === "" ? defaultDirectory(env, root) : values.dir)
  if (root) throw new DevError(becomeOrdinary(directory, invocation))
  process.umask(0o077)
  const place = await openPlace(directory, {
    clusterName: values.clusterName,
    storeBackend: values.storeBackend,
    keepers: values.keepers,
    port: values.port === "" ? null : Number(values.port),
  })
  process.chdir(directory)
  using shutdown = onShutdown()
  const display = openDisplay(process.stdout, () => new Date())
  process.stdout.on("error", () => {}) // a reader that went away is no reason to end
  if (place.portNote !== null) display.tell("proxy", place.portNote)
  const parts = family(directory, display.tell)
  try {
    await live({ values, place, programs, etcd, parts, display }, shutdown.signal)
    return 0
  } finally {
    display.show([])
    display.tell("cluster", "stopping")
    await stopAll(parts, shutdown.hurry)
    display.tell("cluster", "stopped; the same command goes on from here")
  }
}

interface Dev {
  readonly values: DevValues
  readonly place: Place
  /** Directory of PostgreSQL's programs. */
  readonly programs: string
  readonly etcd: string
  readonly parts: Family
  readonly display: Display
}

/** Starts everything and watches it until `signal` aborts. */
async function live(it: Dev, signal: AbortSignal): Promise<void> {
  const { values, place, parts, display } = it
  if (values.storeBackend === "etcdv3") parts.add({ name: "etcd", argv: etcdArgv(it) })
  await using store = await openStore(storeSettings(place), signal)
  if (!(await beginCluster(it, store, signal))) return
  for (let i = 0; i < values.keepers; i++)
    parts.add({
      name: keeperName(i),
      argv: keeperArgv(it, i),
      absence: () => absence(keeperDirectory(place.directory, i)),
    })
  for (let i = 1; i <= values.sentinels; i++)
    parts.add({ name: `sentinel${i}`, argv: ours(it, "sentinel") })
  parts.add({
    name: "proxy",
    argv: [...ours(it, "proxy"), "--listen-address", host, "--port", String(place.port)],
  })
  // The path itself, not /proc/self/exe: these words are for a person's shell.
  const program = [process.execPath, ...(isCompiled() ? [] : selfCommand().slice(1))].join(" ")
  const storeFlags = storeWords(place).join(" ")
  await watch({ place, store, children: parts.children, display, storeFlags, program }, signal)
}

/**
 * A keeper alone that died comes back at once and adopts its PostgreSQL. With PostgreSQL gone too
 * it was the node that died: it stays away as a machine does that boots, longer than failInterval,
 * or nobody would ever see a failover here.
 */
function absence(dataDir: string): Absence {
  if (localPids(dataDir).postgres !== null) return { ms: 0, why: ", its PostgreSQL runs on" }
  return { ms: bootMs, why: ", its PostgreSQL is gone too" }
}
const bootMs = 8_000

/**
 * What `ctl init` does, where there is no cluster yet. False: told to stop while the store did not
 * answer.
 */
async function beginCluster(it: Dev, store: Store, signal: AbortSignal): Promise<boolean> {
  const { place, display, values } = it
  let trouble = ""
  while (!signal.aborted) {
    try {
      const reading = await store.read(signal)
      display.tell("store", `${place.storeBackend} at ${storeEndpoint(place)}`)
      if (reading.kind === "found") {
        display.tell("cluster", "goes on with the data that is there")
        return true
      }
      const spec = withRecommended({ ...newCluster, synchronousReplication: values.sync })
      const uid = newClusterUID(generator(realChance.seed()))
      const data = newClusterData(uid, spec, realClock.now().wall)
      // Should the answer be lost, the next round finds it there.
      const written = await store.write(data, { kind: "absent" }, null, signal)
      if (written.kind === "written") {
        display.tell("cluster", "a new one begins")
        return true
      }
    } catch (error) {
      if (signal.aborted) return false
      if (text(error) !== trouble) display.tell("store", `not there yet: ${text(error)}`)
      trouble = text(error)
    }
    await realClock.sleep(millis(200), signal).catch(() => {})
  }
  return false
}

/** A primary that stops waits until its standbys have everything. */
const graceMs = 60_000

/** First those who decide, then those who serve, at last what all stand on. */
async function stopAll(parts: Family, hurry: AbortSignal): Promise<void> {
  parts.retire()
  const stages = [/^sentinel/, /^proxy/, /^keeper/, /^etcd/]
  for (const stage of stages)
    await Promise.all(
      parts.children
        .filter(({ name }) => stage.test(name))
        .map((child) => child.stop(graceMs, hurry)),
    )
}

const storeEndpoint = (place: Place): string =>
  place.storeBackend === "sqlite"
    ? join(place.directory, "store.db")
    : `http://${host}:${place.etcdPorts[0]}`

const storeWords = (place: Place): readonly string[] => [
  "--cluster-name",
  place.clusterName,
  "--store-backend",
  place.storeBackend,
  "--store-endpoints",
  storeEndpoint(place),
]

const storeSettings = (place: Place): StoreSettings => ({
  clusterName: place.clusterName,
  backend: place.storeBackend,
  endpoints: [storeEndpoint(place)],
  prefix: "stolon/cluster",
  timeout: millis(5_000),
  tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
  user: "",
  password: "",
})

/** Our own executable as one of the components. */
const ours = ({ place, values }: Dev, component: string): readonly string[] => [
  ...selfCommand(),
  component,
  ...storeWords(place),
  "--log-level",
  values.logLevel,
]

function keeperArgv(it: Dev, index: number): readonly string[] {
  const { place, programs } = it
  const flags = {
    uid: keeperName(index),
    "data-dir": keeperDirectory(place.directory, index),
    "pg-listen-address": host,
    "pg-port": String(place.keeperPorts[index]),
    "pg-bin-path": programs,
    "pg-su-username": superuser,
    "pg-su-passwordfile": place.superuserFile,
    "pg-repl-username": replicationUser,
    "pg-repl-passwordfile": place.replicationFile,
  }
  return [...ours(it, "keeper"), ...Object.entries(flags).flatMap(([k, v]) => [`--${k}`, v])]
}

function etcdArgv({ etcd, place }: Dev): readonly string[] {
  const [client, peer] = place.etcdPorts.map((port) => `http://${host}:${port}`)
  const flags = {
    name: "dev",
    "data-dir": join(place.directory, "etcd"),
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": `dev=${peer}`,
  }
  return [etcd, ...Object.entries(flags).flatMap(([k, v]) => [`--${k}`, v ?? ""])]
}

function etcdProgram(): string {
  const path = Bun.which("etcd")
  if (path === null)
    throw new DevError(
      "there is no etcd in PATH: apt-get install etcd-server, or --store-backend sqlite",
    )
  return path
}

function defaultDirectory(env: Invocation["env"], root: boolean): string {
  const state = env["XDG_STATE_HOME"]
  if (state !== undefined && state !== "") return join(state, "stolon", "dev")
  return root ? "/var/lib/stolon/dev" : join(homedir(), ".local", "state", "stolon", "dev")
}

/**
 * Root becomes somebody else and this process begins again; it comes back only with a reason why
 * not.
 */
function becomeOrdinary(directory: string, { argv, env }: Invocation): string {
  const user = localUser(env)
  if (user === null)
    return "PostgreSQL refuses to run as root, and there is no user postgres to become: useradd --system postgres, or run this as yourself"
  return become(user, directory, argv)
}
