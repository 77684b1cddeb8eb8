/**
 * Writers: each appends numbered rows, one at a time, through a proxy or directly, and gives up on
 * a connection that does not answer. What it was told goes to the ledger; a commit with a notice
 * was not promised anything (N2) and stays out.
 */
import type { Ledger } from "./ledger.ts"
import type { SimReaders } from "./readers.ts"
import { type Connection, type SimRelay, type Way, open, write } from "./relay.ts"
import type { Host } from "./host.ts"
import { type Servers, addressOf, cancelWaits } from "./server.ts"
import { isPrimary } from "./sim.ts"
import type { World } from "./world.ts"

export interface Writers {
  /** Rows acknowledged through a proxy so far, for "is it of use again?". */
  acknowledged(): number
  stop(): void
}

export interface WriterSetting {
  readonly world: World
  readonly servers: Servers
  readonly ledger: Ledger
  /** Present proxies; they come and go. */
  readonly relays: () => readonly SimRelay[]
  /** Their ports for reads, and clients there: they write when the server takes writes. */
  readonly readers?: () => readonly SimReaders[]
  readonly reading?: number
  readonly hosts: readonly Host[]
  readonly direct: number
  readonly proxied: number
  /** Mean time between two rows of one writer. */
  readonly pause: number
  /** How long a client waits for an answer. */
  readonly patience: number
}

export function startWriters(setting: WriterSetting): Writers {
  let rows = 0
  let heard = 0
  let running = true
  const { world, servers, ledger, relays, hosts } = setting
  const next = (): number => rows++
  const wayOf = (kind: "direct" | "proxied" | "reading", turn: number): Way | null => {
    if (kind === "direct") return target(world, hosts)
    const relay = any(relays(), turn)
    if (kind === "proxied") return relay === undefined ? null : { relay }
    const readers = any(setting.readers?.() ?? [], turn)
    return readers === undefined ? null : { readers }
  }

  const writer = (index: number, kind: "direct" | "proxied" | "reading"): void => {
    let connection: Connection | null = null
    let turn = index
    const again = (): void => void world.at(world.between(0.5, 1.5) * setting.pause, null, step)
    const drop = (): void => {
      if (connection !== null) connection.open = false
      connection = null
      again()
    }
    /** Calls `drop` unless somebody answers within the patience; `late` answers are ignored. */
    const bounded = (): { answered: () => boolean } => {
      let open = true
      const task = world.at(setting.patience, null, () => {
        open = false
        drop()
      })
      return {
        answered() {
          if (!open) return false
          open = false
          world.cancel(task)
          return true
        },
      }
    }
    const dial = (): void => {
      const wait = bounded()
      const way = wayOf(kind, turn++)
      if (way === null) return void (wait.answered() && again())
      open(world, servers, way, (made) => {
        if (!wait.answered()) return
        connection = made
        again()
      })
    }
    const step = (): void => {
      if (!running) return
      if (connection === null || !connection.open || !connection.session.open) return dial()
      if (kind === "reading" && connection.instance.inRecovery) return again() // it has read
      send(connection)
    }
    const send = (used: Connection): void => {
      const row = next()
      const wait = bounded()
      const { instance, relay } = used
      if (world.chance(0.002))
        world.at(world.between(1, 300), instance.process, () => cancelWaits(instance))
      write(world, used, row, ({ outcome, record, waited, at }) => {
        if (!wait.answered()) return
        again()
        if (outcome !== "done" || record === null) return
        if (relay !== null) heard++
        // Who goes around the gate is promised what the server itself waits for, no more.
        const promised = waited || (ledger.always && relay !== null)
        const strict = ledger.promise === "sync" && promised
        ledger.add(
          {
            row,
            record,
            systemID: instance.dir.systemID,
            at,
            heardAt: world.now(),
            writer: `${instance.machine.name}/${record.timeline}`,
            host: instance.machine.name,
            throughProxy: relay !== null,
            strict,
            lost: false,
          },
          instance,
        )
      })
    }
    again()
  }
  for (let i = 0; i < setting.proxied; i++) writer(i, "proxied")
  for (let i = 0; i < setting.direct; i++) writer(i, "direct")
  for (let i = 0; i < (setting.reading ?? 0); i++) writer(i, "reading")
  return { acknowledged: () => heard, stop: () => void (running = false) }
}

const any = <T>(all: readonly T[], turn: number): T | undefined =>
  all[turn % Math.max(1, all.length)]

/** As libpq with several hosts and target_session_attrs=read-write, from a random one on. */
function target(world: World, hosts: readonly Host[]): { readonly address: string } | null {
  const first = world.random.below(Math.max(1, hosts.length))
  const order = [...hosts.slice(first), ...hosts.slice(0, first)]
  for (const { instance } of order)
    if (instance !== null && isPrimary(instance)) return { address: addressOf(instance) }
  return null
}
