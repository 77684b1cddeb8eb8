/**
 * What lies behind the proxies: a real cluster of one keeper with its PostgreSQL and one sentinel,
 * because our proxy leads nowhere without one. All lanes lead to the same port.
 *
 * With the stand-in the keeper advertises another port than its PostgreSQL's: there listens a
 * process that answers sessions of one user itself and passes on everybody else, so that whatever
 * our proxy asks of the server it is led to, PostgreSQL answers.
 */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type Part, newNode, newPart, newProgram } from "#test/e2e/cluster.ts"
import { type Place, environment, newPlace, words, wordsAsOurselves } from "#test/e2e/place.ts"
import { ask } from "#test/e2e/writer.ts"
import { type Login, connectWire } from "../failover/wire.ts"
import { at, output } from "../failover/tools.ts"
import type { SiteKind } from "./table.ts"
import { standInUser } from "./words.ts"

export const role = "bench"
export const database = "bench"

export interface Site extends AsyncDisposable {
  readonly kind: SiteKind
  readonly place: Place
  /** Where all lanes lead. */
  readonly port: number
  /** What a component of the cluster is started with. */
  readonly flags: readonly string[]
  /** Who is let in without a password. */
  readonly login: Omit<Login, "port">
}

/**
 * So many sessions that 1,000 fit beside 256 clients; and nothing that the disk decides or that
 * PostgreSQL does when it likes, because the proxies are measured here.
 */
const parameters = {
  max_connections: "1300",
  shared_buffers: "512MB",
  synchronous_commit: "off",
  max_wal_size: "16GB",
  checkpoint_timeout: "1h",
  autovacuum: "off",
}

export async function openSite(kind: SiteKind): Promise<Site> {
  await using building = new AsyncDisposableStack()
  const place = building.use(await newPlace("stolon-proxy-"))
  const flags = [
    "--cluster-name=bench",
    "--store-backend=sqlite",
    `--store-endpoints=${join(place.directory, "store.db")}`,
  ]
  const spec = {
    initMode: "new",
    pgParameters: parameters,
    pgHBA: [`host all ${role} 127.0.0.1/32 trust`],
  }
  await output(words(["ctl", ...flags, "init", "--yes", JSON.stringify(spec)]), environment())
  const ports = await freePorts(2)
  const [server, standIn] = [at(ports, 0), at(ports, 1)]
  const port = kind === "postgres" ? server : standIn
  const own = [...flags, `--pg-advertise-port=${port}`]
  const node = await newNode(place, own, postgresPrograms(""), "keeper1", server)
  const sentinel: Part = newPart(place, "sentinel", [
    "sentinel",
    "--peer-listen-address=127.0.0.1",
    ...flags,
  ])
  building.defer(async () => {
    await sentinel.kill()
    await node.kill()
    await node.killAll()
    for (const end of ["", ".lock"]) await rm(`/tmp/.s.PGSQL.${server}${end}`, { force: true })
  })
  node.start()
  sentinel.start()
  if (kind === "stand-in") {
    const program = [join(import.meta.dir, "stand-in.ts"), `${standIn}`, `${server}`]
    const command = limited(wordsAsOurselves([process.execPath, ...program]))
    const part = newProgram(place, "stand-in", command)
    building.defer(() => part.kill())
    part.start()
  }
  const isPrimary = async (): Promise<boolean> =>
    (await ask(server, "select pg_is_in_recovery() as standby"))[0]?.["standby"] === false
  await until("PostgreSQL to be primary", isPrimary, 120_000)
  await ask(server, `create role ${role} login`)
  await ask(server, `create database ${database} owner ${role}`)
  const login = { user: kind === "postgres" ? role : standInUser, database }
  await until("a session to begin", () => letsIn({ ...login, port }), 30_000)
  const owned = building.move()
  return {
    ...{ kind, place, port, flags, login },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Tries to begin a session; throws when there is none to be had. */
export async function letsIn(login: Login): Promise<true> {
  const wire = await connectWire(login, 1_000)
  if (!("query" in wire)) throw new Error(wire.text)
  wire.end()
  return true
}

/** Two descriptors a session, for 10,000 and then some; the usual limit is lower. */
const descriptorsWanted = 65_536

/**
 * The command with as many descriptors as are wanted; who may not have them gets what is allowed.
 * It keeps its pid.
 */
export const limited = (command: readonly string[]): readonly string[] => [
  ...["sh", "-c"],
  `ulimit -n ${descriptorsWanted} 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"`,
  "sh",
  ...command,
]

/** What a proxy needs beside its sessions. */
const descriptorsAside = 200

/** How many sessions, of two descriptors each, a proxy of one process may have at all. */
export function sessionsMax(): number {
  const limit = Bun.spawnSync([...limited(["sh", "-c", "ulimit -n"])]).stdout.toString()
  return Math.floor((Number(limit) - descriptorsAside) / 2)
}
