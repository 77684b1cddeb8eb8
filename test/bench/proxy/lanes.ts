/**
 * What is compared: no proxy at all, HAProxy, PgBouncer and ours. Each is a process of its own,
 * started for one measurement and gone after it, so that none pays for another one's idling and no
 * memory is left over from the row before.
 *
 * Settings are as equal as they can be: plain TCP or its nearest neighbour, no logs of single
 * connections, room for all sessions.
 */
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import { type Part, newProgram } from "#test/e2e/cluster.ts"
import { environment, own, words, wordsOf } from "#test/e2e/place.ts"
import { output } from "../failover/tools.ts"
import { killFamilies } from "./children.ts"
import { type Site, letsIn, limited, role, sessionsMax } from "./site.ts"
import { laneIds } from "./table.ts"
import { standInUser } from "./words.ts"

export interface Lane {
  readonly id: string
  readonly title: string
  readonly settings: string
  readonly open: (site: Site) => Promise<Door>
}

/** Where clients of a lane connect. */
export interface Door extends AsyncDisposable {
  readonly port: number
  /** Of the proxy; null where there is none. */
  readonly pid: number | null
  readonly log: string | null
}

/** More sessions than any row has. */
const roomMax = 12_000

/** Two threads and two workers are compared once there are workers. */
export async function newLanes(): Promise<readonly Lane[]> {
  const help = await output(words(["proxy", "--help"]), environment())
  const counts = /--workers\b/.test(help) ? [1, 2] : [null]
  const room = Math.min(roomMax, sessionsMax())
  const peers = counts.map((count) => haproxy(count ?? 1, room))
  return [direct, ...peers, pgbouncer(room), ...counts.map(ours)]
}

const direct: Lane = {
  id: laneIds.direct,
  title: "direct",
  settings: "clients connect to PostgreSQL itself",
  open: async ({ port }) => ({
    ...{ port, pid: null, log: null },
    [Symbol.asyncDispose]: async () => {},
  }),
}

const haproxy = (threads: number, room: number): Lane => ({
  id: `haproxy-${threads}`,
  title: threads === 1 ? "HAProxy" : `HAProxy, ${threads} threads`,
  settings: `\`mode tcp\`, \`nbthread ${threads}\`, \`maxconn ${room}\`, no log, no checks`,
  async open(site) {
    const [port = 0] = await freePorts(1)
    const config = await file(site, `haproxy-${port}.cfg`, [
      ...["global", `  maxconn ${room}`, `  nbthread ${threads}`],
      ...["defaults", "  mode tcp", "  timeout connect 5s"],
      ...["  timeout client 1h", "  timeout server 1h"],
      ...["listen primary", `  bind 127.0.0.1:${port}`, `  server primary 127.0.0.1:${site.port}`],
    ])
    return doorOf(site, port, "haproxy", wordsOf(["haproxy", "-db", "-f", config]))
  },
})

const pgbouncer = (room: number): Lane => ({
  id: laneIds.pgbouncer,
  title: "PgBouncer",
  settings:
    `\`pool_mode = session\`, \`max_client_conn\` and \`default_pool_size\` ${room}, ` +
    "`auth_type = trust`, no log of connections",
  async open(site) {
    const [port = 0] = await freePorts(1)
    const names = [role, standInUser].map((user) => `"${user}" ""`)
    const users = await file(site, `pgbouncer-${port}.users`, names)
    const config = await file(site, `pgbouncer-${port}.ini`, [
      ...["[databases]", `* = host=127.0.0.1 port=${site.port}`, "[pgbouncer]"],
      ...["listen_addr = 127.0.0.1", `listen_port = ${port}`, "unix_socket_dir ="],
      ...["auth_type = trust", `auth_file = ${users}`, "pool_mode = session"],
      ...[`max_client_conn = ${room}`, `default_pool_size = ${room}`],
      ...["log_connections = 0", "log_disconnections = 0", "log_stats = 0"],
    ])
    return doorOf(site, port, "pgbouncer", wordsOf(["pgbouncer", config]))
  },
})

/** Null: an executable that knows no workers. */
const ours = (workers: number | null): Lane => ({
  id: `ours-${workers ?? 1}`,
  title: (workers ?? 1) === 1 ? "ours" : `ours, ${workers} workers`,
  settings:
    "`stolon proxy`" + (workers === null ? ", everything by default" : ` --workers=${workers}`),
  async open(site) {
    const [port = 0] = await freePorts(1)
    const more = workers === null ? [] : [`--workers=${workers}`]
    const command = words(["proxy", ...site.flags, `--port=${port}`, ...more])
    return doorOf(site, port, `ours-${workers ?? 1}`, command)
  },
})

async function doorOf(
  site: Site,
  port: number,
  name: string,
  command: readonly string[],
): Promise<Door> {
  const part: Part = newProgram(site.place, `${name}-${port}`, limited(command))
  await using building = new AsyncDisposableStack()
  building.defer(async () => {
    if (part.pid !== null) killFamilies([part.pid]) // workers, too
    await part.kill()
  })
  part.start()
  const begun = async (): Promise<"begun" | "ended"> => {
    if (part.pid === null) return "ended"
    await letsIn({ ...site.login, port })
    return "begun"
  }
  const found = await until(`${name} to let clients in`, begun, 30_000).catch(String)
  const { pid } = part
  if (found !== "begun" || pid === null)
    throw new Error(`${name}: ${found}: ${readFileSync(part.log, "utf8").slice(-400)}`)
  const owned = building.move()
  return { port, pid, log: part.log, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function file(site: Site, name: string, lines: readonly string[]): Promise<string> {
  const path = join(site.place.directory, name)
  await writeFile(path, `${lines.join("\n")}\n`)
  await own(path)
  return path
}
