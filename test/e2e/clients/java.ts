/**
 * An application as there are many in Java: HikariCP's rules for a pool over pgjdbc's for a
 * connection (`jdbc.ts`), with auto-commit off. No JVM runs here; what the two do on the wire does.
 *
 * A connection that has not been used for half a second is asked whether it is valid before it is
 * lent; one that failed in a way that names the connection is thrown away; a new one is tried for
 * with growing pauses, for as long as a borrower waits.
 */
import { setTimeout as pause } from "node:timers/promises"
import { type Jdbc, SqlException, type Target, connectJdbc } from "./jdbc.ts"
import { type Fate, type Survivor, database, reason, survivor, table, trusted } from "./survivor.ts"

const poolSize = 3
const connectionTimeout = 30_000
const aliveBypassWindow = 500
const validationTimeout = 5_000
const pausesMs = { first: 10, longest: 1_000 }

interface Entry {
  readonly connection: Jdbc
  used: number
}

interface Pool {
  borrow(): Promise<Entry>
  giveBack(entry: Entry): void
  evict(entry: Entry): void
  close(): void
}

function newPool(target: Target): Pool {
  const idle: Entry[] = []
  const create = async (until: number): Promise<Entry> => {
    for (let ms = pausesMs.first; ; ms = Math.min(2 * ms, pausesMs.longest)) {
      try {
        return { connection: await connectJdbc(target), used: performance.now() }
      } catch (error) {
        if (performance.now() > until) throw error
        await pause(ms)
      }
    }
  }
  return {
    async borrow() {
      const until = performance.now() + connectionTimeout
      for (let entry = idle.shift(); entry !== undefined; entry = idle.shift()) {
        const unused = performance.now() - entry.used
        if (unused < aliveBypassWindow || (await entry.connection.isValid(validationTimeout)))
          return entry
        entry.connection.close()
      }
      return await create(until)
    },
    giveBack(entry) {
      entry.used = performance.now()
      idle.push(entry)
    },
    evict: ({ connection }) => connection.close(),
    close: () => {
      for (const { connection } of idle.splice(0)) connection.close()
    },
  }
}

/** The states by which the pool knows that it is the connection that failed. */
const namesConnection = (error: unknown): boolean =>
  error instanceof SqlException && /^(08...|57P0[123]|01002)$/.test(error.state)

/** Every so many transactions a worker pauses for longer than a connection is trusted. */
const restEvery = 10

export interface Java extends Survivor {
  /** The most statements with names that any connection had. */
  readonly named: () => number
}

/** The hosts stand in the order of `ports`; where nobody listens, the next one is tried. */
export function onJava(ports: readonly number[]): Java {
  const target = { ports, user: trusted, database, connectTimeout: 30_000, socketTimeout: 30_000 }
  const pool = newPool(target)
  const name = "java"
  let named = 0
  const attempt = async (id: number): Promise<Fate> => {
    if (id % restEvery === 0) await pause(aliveBypassWindow + 100)
    let entry: Entry
    try {
      entry = await pool.borrow()
    } catch (error) {
      return { kind: "failed", why: `no connection to be had: ${reason(error)}` }
    }
    const { connection } = entry
    let begun = false
    try {
      await connection.execute(`insert into ${table} values ($1, $2::int)`, [name, `${id}`])
      begun = true
      await connection.execute("select pg_sleep(0.01)")
      await connection.commit()
      named = Math.max(named, connection.named())
      pool.giveBack(entry)
      return { kind: "done" }
    } catch (error) {
      if (namesConnection(error)) pool.evict(entry)
      else
        await connection.rollback().then(
          () => pool.giveBack(entry),
          () => pool.evict(entry),
        )
      return { kind: begun ? "failed" : "told", why: reason(error) }
    }
  }
  const all = survivor(name, poolSize, attempt, async () => pool.close())
  return { ...all, named: () => named }
}
