/**
 * Clients of a planned switchover: each sends one transaction after the other on one connection,
 * as an application with a pool does. A transaction of which a statement was answered must never
 * fail; being told to reconnect in answer to its first statement is no failure of it, and counted
 * apart.
 */
import { setImmediate as breath } from "node:timers/promises"
import { type Connected, connect } from "./writer.ts"

export interface Transactors extends AsyncDisposable {
  /** Rows of transactions that were acknowledged. */
  readonly acknowledged: ReadonlySet<number>
  /** How often a connection that had carried transactions was closed between two of them. */
  readonly reconnects: () => number
  /** What went wrong in the middle of transactions. */
  readonly failures: readonly string[]
  /** Ends each client after its present transaction. */
  stop(): Promise<void>
}

/** @param hold Seconds that each transaction takes inside the server. */
export function startTransactors(
  port: number,
  table: string,
  clients: number,
  hold = 0.01,
): Transactors {
  const acknowledged = new Set<number>()
  const failures: string[] = []
  let reconnects = 0
  let stopped = false

  const client = async (number: number): Promise<void> => {
    let sql: Connected | null = null
    let used = false
    for (let round = 0; !stopped; round++) {
      sql ??= connect(port)
      const id = round * clients + number
      const fate = await transact(sql, table, id, hold)
      if (fate.kind === "done") acknowledged.add(id)
      else {
        if (fate.kind === "failed") failures.push(fate.why)
        else if (used) reconnects++
        await sql.end({ timeout: 0 })
        sql = null
      }
      used = fate.kind === "done"
      await breath()
    }
    await sql?.end({ timeout: 0 })
  }
  const running = Promise.all(Array.from({ length: clients }, (_, i) => client(i)))
  const stop = async (): Promise<void> => {
    stopped = true
    await running
  }
  return {
    acknowledged,
    failures,
    reconnects: () => reconnects,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

type Fate =
  | { readonly kind: "done" }
  /** Nothing of it was begun. */
  | { readonly kind: "told" }
  | { readonly kind: "failed"; readonly why: string }

async function transact(sql: Connected, table: string, id: number, hold: number): Promise<Fate> {
  try {
    await sql.unsafe("begin")
  } catch {
    return { kind: "told" }
  }
  try {
    await sql.unsafe(`insert into ${table} values (${id})`)
    await sql.unsafe(`select pg_sleep(${hold})`)
    await sql.unsafe("commit")
    return { kind: "done" }
  } catch (error) {
    return { kind: "failed", why: `row ${id}: ${String(error)}` }
  }
}
