/**
 * Patroni and HAProxy as Debian packages them: three nodes, an etcd of three members, one HAProxy
 * on the client's side. Two lanes: Patroni's defaults with the haproxy.cfg that comes with it, and
 * the fastest settings that current Patroni accepts (ttl 20, loop_wait 1, retry_timeout 3; the
 * packaged 3.0.2 does not check, its successors do) with checks as quick as is sensible.
 *
 * The haproxy.cfg has one change: its maxconn of 100 is exhausted by one impatient client while a
 * primary hangs, and that limit is not what is measured here. A node is the agent and its
 * PostgreSQL: nothing else of Patroni runs on it.
 */
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as v from "valibot"
import { postgresPrograms } from "#cmd/dev-place.ts"
import {
  type Process,
  isAlive,
  processes,
  signalProcess,
  withDescendants,
} from "#system/process.ts"
import { startEtcd } from "#test/conformance/etcd.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type Part, newProgram } from "#test/e2e/cluster.ts"
import {
  type Place,
  environment,
  newPlace,
  own,
  ownedDirectory,
  superuser,
  superuserPassword,
  wordsOf,
} from "#test/e2e/place.ts"
import { ask } from "#test/e2e/writer.ts"
import { role } from "./client.ts"
import { type FaultId, type Lane, type Stage, type System, storeFrozenMs } from "./faults.ts"
import { at, output, sleep } from "./tools.ts"

interface Settings {
  readonly ttl: number
  readonly loopWait: number
  readonly retryTimeout: number
  /** HAProxy's `default-server`, without what both have. */
  readonly check: string
  readonly checkTimeout: string
  readonly connectTimeout: string
}

const defaults: Settings = {
  ttl: 30,
  loopWait: 10,
  retryTimeout: 10,
  check: "inter 3s fall 3 rise 2",
  checkTimeout: "5s",
  connectTimeout: "4s",
}
const fastest: Settings = {
  ttl: 20,
  loopWait: 1,
  retryTimeout: 3,
  check: "inter 200ms fall 2 rise 1",
  checkTimeout: "500ms",
  connectTimeout: "1s",
}

const lane = (id: string, title: string, settings: Settings): Lane => ({
  id,
  title,
  family: "patroni",
  beatMs: settings.loopWait * 1000,
  settings:
    `ttl ${settings.ttl}, loop_wait ${settings.loopWait}, retry_timeout ` +
    `${settings.retryTimeout}, asynchronous, use_pg_rewind; HAProxy checks /primary with ` +
    `\`${settings.check} on-marked-down shutdown-sessions\`, timeout check ` +
    `${settings.checkTimeout}, timeout connect ${settings.connectTimeout}, maxconn 1000`,
  open: () => open(settings),
})

export const patroniLanes: readonly Lane[] = [
  lane("patroni-default", "Patroni, defaults", defaults),
  lane("patroni-fastest", "Patroni, fastest legal", fastest),
]

const scope = "bench"
const replication = { username: "repl", password: "repl-password" }

interface Member {
  readonly name: string
  readonly part: Part
  readonly config: string
  readonly port: number
  readonly restPort: number
  everything(): readonly Process[]
  killPostgres(): void
  killAll(): Promise<void>
}

async function open(settings: Settings): Promise<System> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-patroni-"))
  const etcd = building.use(await startEtcd({ members: 3 }))
  const ports = await freePorts(7)
  const members: Member[] = []
  building.defer(async () => {
    for (const member of members) await member.killAll()
  })
  for (let i = 0; i < 3; i++)
    members.push(
      await newMember(place, settings, {
        name: `node${i + 1}`,
        port: at(ports, i * 2),
        restPort: at(ports, i * 2 + 1),
        etcd: etcd.endpoints.map((url) => url.replace("http://", "")),
      }),
    )
  const port = at(ports, 6)
  const haproxy = await newHaproxy(place, settings, members, port)
  building.defer(() => haproxy.kill())
  for (const { part } of members) part.start()
  haproxy.start()
  const settled = async (): Promise<void> =>
    void (await until("Patroni's cluster to be whole", () => whole(members, port), 180_000))
  await settled()
  const freeze = (): void => etcd.members.forEach((member) => member.pause())
  const thaw = (): void => etcd.members.forEach((member) => member.resume())
  const owned = building.move()
  return {
    primaryPort: async () => (await primaryOf(members)).port,
    prepare: (fault) => prepare(fault, members, port, { freeze, thaw }),
    settled,
    logs: [...members.map(({ part }) => part.log), haproxy.log],
    notes: [],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function prepare(
  fault: FaultId,
  members: readonly Member[],
  port: number,
  store: { freeze(): void; thaw(): void },
): Promise<Stage> {
  const primary = await primaryOf(members)
  const nothing = async (): Promise<void> => {}
  switch (fault) {
    case "postgres-killed":
      return { port, strike: async () => primary.killPostgres(), repair: nothing }
    case "node-killed":
    case "guardian-killed":
    case "leader-killed":
      return { port, strike: primary.killAll, repair: async () => primary.part.start() }
    case "node-silent":
    case "leader-silent": {
      const signal = (name: NodeJS.Signals): void =>
        primary.everything().forEach((each) => signalProcess(each, name))
      return {
        port,
        strike: async () => signal("SIGSTOP"),
        repair: async () => signal("SIGCONT"),
      }
    }
    case "switchover": {
      const others = members.filter((member) => member !== primary)
      const words = ["--leader", primary.name, "--candidate", at(others, 0).name, "--force"]
      const command = ["patronictl", "-c", primary.config, "switchover", scope, ...words]
      const run = async (): Promise<void> => void (await output(wordsOf(command), environment()))
      return { port, strike: run, repair: nothing }
    }
    case "store-frozen":
      return {
        port,
        strike: async () => {
          store.freeze()
          await sleep(storeFrozenMs)
          store.thaw()
        },
        repair: nothing,
      }
  }
}

const statusSchema = v.object({
  state: v.string(),
  role: v.string(),
  timeline: v.optional(v.number()),
  replication: v.optional(v.array(v.object({ state: v.string() }))),
})

async function status(member: Member): Promise<v.InferOutput<typeof statusSchema>> {
  const answer = await fetch(`http://127.0.0.1:${member.restPort}/patroni`, {
    signal: AbortSignal.timeout(2_000),
  })
  return v.parse(statusSchema, await answer.json())
}

const isPrimary = (word: string): boolean => word === "master" || word === "primary"

/** The one that runs as primary; throws when there is none, or more than one. */
async function primaryOf(members: readonly Member[]): Promise<Member> {
  const all = await Promise.all(members.map((member) => status(member)))
  const found = members.filter((_, i) => isPrimary(at(all, i).role))
  if (found.length !== 1) throw new Error(`${found.length} members run as primary`)
  return at(found, 0)
}

/** Throws what is missing. */
async function whole(members: readonly Member[], port: number): Promise<true> {
  const primary = await primaryOf(members)
  const all = await Promise.all(members.map((member) => status(member)))
  const { replication: standbys = [], timeline } = at(all, members.indexOf(primary))
  if (all.some(({ state }) => state !== "running")) throw new Error("a member does not run")
  if (standbys.filter(({ state }) => state === "streaming").length !== members.length - 1)
    throw new Error("a standby does not stream")
  if (all.some((each) => each.timeline !== timeline))
    throw new Error("a standby is on another timeline")
  // HAProxy goes on for a while with a primary of before, and takes them in turn
  for (let i = 0; i < members.length; i++) {
    const [answer] = await ask(port, "select inet_server_port() as port")
    if (answer?.["port"] !== primary.port) throw new Error("HAProxy leads elsewhere")
  }
  return true
}

interface MemberPlan {
  readonly name: string
  readonly port: number
  readonly restPort: number
  readonly etcd: readonly string[]
}

async function newMember(place: Place, settings: Settings, plan: MemberPlan): Promise<Member> {
  const home = join(place.directory, plan.name)
  await ownedDirectory(home)
  const config = join(place.directory, `${plan.name}.yml`)
  await writeFile(config, JSON.stringify(configuration(home, settings, plan), null, 2)) // is YAML
  await own(config)
  const part = newProgram(place, plan.name, wordsOf(["patroni", config]))
  const postmaster = (): number | null => {
    try {
      return Number(/^\d+/.exec(readFileSync(join(home, "data/postmaster.pid"), "utf8"))?.[0])
    } catch {
      return null
    }
  }
  const family = (pids: readonly (number | null)[]): readonly Process[] =>
    withDescendants(processes(), (each) => pids.includes(each.pid)).filter(isAlive)
  const everything = (): readonly Process[] => family([part.pid, postmaster()])
  const kill = (all: readonly Process[]): void =>
    all.forEach((each) => signalProcess(each, "SIGKILL"))
  return {
    name: plan.name,
    part,
    config,
    port: plan.port,
    restPort: plan.restPort,
    everything,
    killPostgres: () => kill(family([postmaster()])),
    killAll: async () => {
      for (let left = everything(); left.length > 0; left = everything()) {
        kill(left)
        await until(`${plan.name} to be gone`, () => !left.some(isAlive))
      }
      await part.kill()
    },
  }
}

function configuration(home: string, settings: Settings, plan: MemberPlan): object {
  const address = `127.0.0.1:${plan.port}`
  const rest = `127.0.0.1:${plan.restPort}`
  return {
    scope,
    name: plan.name,
    restapi: { listen: rest, connect_address: rest },
    etcd3: { hosts: plan.etcd },
    bootstrap: {
      dcs: {
        ttl: settings.ttl,
        loop_wait: settings.loopWait,
        retry_timeout: settings.retryTimeout,
        maximum_lag_on_failover: 1_048_576,
        postgresql: { use_pg_rewind: true },
      },
      initdb: [{ encoding: "UTF8" }],
    },
    postgresql: {
      listen: address,
      connect_address: address,
      data_dir: join(home, "data"),
      bin_dir: postgresPrograms(""),
      pgpass: join(home, "pgpass"),
      authentication: {
        replication,
        superuser: { username: superuser, password: superuserPassword },
      },
      pg_hba: [
        "local all all trust",
        `host replication ${replication.username} 127.0.0.1/32 scram-sha-256`,
        `host all ${superuser} 127.0.0.1/32 scram-sha-256`,
        `host all ${role} 127.0.0.1/32 trust`,
      ],
      // its own: Patroni waits for ever on another node's socket lock
      parameters: { unix_socket_directories: home, password_encryption: "scram-sha-256" },
    },
  }
}

async function newHaproxy(
  place: Place,
  settings: Settings,
  members: readonly Member[],
  port: number,
): Promise<Part> {
  const config = join(place.directory, "haproxy.cfg")
  const text = [
    ...["global", "  maxconn 1000", "defaults", "  mode tcp", "  retries 2"],
    ...["  timeout client 30m", "  timeout server 30m"],
    `  timeout connect ${settings.connectTimeout}`,
    `  timeout check ${settings.checkTimeout}`,
    ...["listen primary", `  bind 127.0.0.1:${port}`],
    ...["  option httpchk OPTIONS /primary", "  http-check expect status 200"],
    `  default-server ${settings.check} on-marked-down shutdown-sessions`,
    ...members.map(
      ({ name, port: server, restPort }) =>
        `  server ${name} 127.0.0.1:${server} check port ${restPort}`,
    ),
    "",
  ].join("\n")
  await writeFile(config, text)
  await own(config)
  return newProgram(place, "haproxy", wordsOf(["haproxy", "-db", "-f", config]))
}
