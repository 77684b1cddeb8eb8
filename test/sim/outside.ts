/**
 * The PostgreSQL outside of the cluster that a standby cluster follows, and whose backups `initMode
 * pitr` brings back. It stands alone: no keeper, no checker looks after it, and its rows are
 * promised to nobody.
 */
import { newDir } from "./disk.ts"
import { users } from "./conf.ts"
import { type Host, createHost, startOn } from "./host.ts"
import type { Servers } from "./server.ts"
import { commit, pgPort } from "./server.ts"
import type { World } from "./world.ts"

const name = "outside"
/** What the specification calls it, and what a restore command asks. */
export const outsideAddress = `${name}:${pgPort}`
export const outsideConninfo = `host=${name} port=${pgPort} user=${users.replication}`

const alone = { destroying: () => {}, starting: () => {}, step: () => {}, said: () => {} }

/** Starts it, and a row every `pause` from then on. */
export function startOutside(world: World, servers: Servers, pause: number): Host {
  const host = createHost(world, servers, world.machine(name, 7_000, 1), alone)
  const dir = newDir("7999999999999999999", true)
  dir.roles = true
  dir.conf = "wal_log_hints = 'on'"
  dir.hba = `host replication ${users.replication} 0.0.0.0/0 md5\nhost all all 0.0.0.0/0 md5`
  host.disk.data = dir
  const { process } = startOn(host, dir.conf)
  let row = firstRow
  const write = (): void => {
    if (host.instance !== null) commit(host.instance, row++, () => {})
    world.at(pause, process, write)
  }
  world.at(pause, process, write)
  return host
}

/** Far from those of the cluster's own clients. */
const firstRow = 1_000_000
