/**
 * Applications on Node's two usual libraries, each with the library's own pool and its defaults
 * for dialling again: every other transaction is a single statement, the rest are in a block.
 */
import { Pool } from "pg"
import postgres from "postgres"
import {
  type Fate,
  type Survivor,
  database,
  reason,
  role,
  rolePassword,
  survivor,
  table,
} from "./survivor.ts"

const connections = 3
const isSingle = (id: number): boolean => id % 2 === 0
const host = "127.0.0.1"
const login = { host, user: role, password: rolePassword, database, max: connections }

/** A transaction; `begun` tells whether its first statement was answered. */
async function fateOf(work: (begun: () => void) => Promise<unknown>): Promise<Fate> {
  let first = true
  try {
    await work(() => (first = false))
    return { kind: "done" }
  } catch (error) {
    return { kind: first ? "told" : "failed", why: reason(error) }
  }
}

/**
 * The library `postgres`. Not its `sql.begin()`: when a connection is lost within one, whatever the
 * reason, the library throws where nobody can catch it (its issue 1208, in 3.4.9). Several
 * statements in one message are a transaction, too.
 */
export function onPostgres(port: number): Survivor {
  const sql = postgres({ ...login, port, onnotice: () => {} })
  const name = "postgres"
  const attempt = (id: number): Promise<Fate> =>
    fateOf(async () => {
      if (isSingle(id)) return await sql`insert into ${sql(table)} values (${name}, ${id})`
      const insert = `insert into ${table} values ('${name}', ${id})`
      return await sql.unsafe(`${insert}; select pg_sleep(0.01)`)
    })
  return survivor(name, connections, attempt, () => sql.end({ timeout: 1 }))
}

/** The library `pg`. */
export function onPg(port: number): Survivor {
  const pool = new Pool({ ...login, port })
  pool.on("error", () => {}) // an idle connection was ended; without a listener Node would end, too
  const name = "pg"
  const insert = `insert into ${table} values ($1, $2)`
  const attempt = (id: number): Promise<Fate> =>
    fateOf(async (begun) => {
      if (isSingle(id)) return await pool.query(insert, [name, id])
      const client = await pool.connect()
      let broken = true
      const inUse = (): void => {} // what it is told in the middle, the statement is told as well
      client.on("error", inUse)
      try {
        await client.query("begin")
        begun()
        await client.query(insert, [name, id])
        await client.query("select pg_sleep(0.01)")
        const ended = await client.query("commit")
        broken = false
        return ended
      } finally {
        client.off("error", inUse)
        client.release(broken)
      }
    })
  return survivor(name, connections, attempt, () => pool.end())
}
