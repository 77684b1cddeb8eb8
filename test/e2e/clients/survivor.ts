/**
 * An application that must not be started again, whatever happens to the cluster: it goes on with
 * one transaction after the other and remembers what it was told of each.
 *
 * Each row is written by one attempt and never again, so the table tells afterwards what became of
 * attempts that failed.
 */
import { setTimeout as pause } from "node:timers/promises"

export const role = "app"
export const rolePassword = "app-password"
/** Let in without a password. */
export const trusted = "trusted"
export const database = "postgres"
export const table = "survivors"

/** What became of one transaction, as far as the application knows. */
export type Fate =
  | { readonly kind: "done" }
  /** Its first statement was answered with the end of the session. */
  | { readonly kind: "told"; readonly why: string }
  | { readonly kind: "failed"; readonly why: string }

export interface Survivor {
  readonly name: string
  readonly acknowledged: ReadonlySet<number>
  /** Rows of transactions that were refused in answer to their first statement. */
  readonly told: ReadonlySet<number>
  /** What went wrong in the middle of transactions. */
  readonly failures: readonly string[]
  /** Ends after the present transactions. */
  stop(): Promise<void>
}

/** How long each pauses between two transactions, so that six applications fit on two cores. */
const paceMs = 25

/**
 * Transactions one after the other, in as many lanes as there are `workers`. `attempt` never
 * throws.
 */
export function survivor(
  name: string,
  workers: number,
  attempt: (id: number) => Promise<Fate>,
  end: () => Promise<void> = async () => {},
): Survivor {
  const acknowledged = new Set<number>()
  const told = new Set<number>()
  const failures: string[] = []
  let next = 1
  let stopped = false
  const work = async (): Promise<void> => {
    while (!stopped) {
      const id = next++
      const fate = await attempt(id)
      if (fate.kind === "done") acknowledged.add(id)
      else if (fate.kind === "told" && isRest(fate.why)) told.add(id)
      else failures.push(`row ${id}: ${fate.why}`)
      await pause(paceMs)
    }
  }
  const running = Promise.all(Array.from({ length: workers }, work))
  return {
    ...{ name, acknowledged, told, failures },
    stop: async () => {
      stopped = true
      await running
      await end()
    },
  }
}

/**
 * The words of a proxy that has ended an idle session, or what is left of them when a library sees
 * only that the connection is gone, or sees it before it sends anything. Everything else is a
 * session that was cut.
 */
const isRest = (why: string): boolean =>
  why.includes("the proxy has ended this connection while it was idle") ||
  /CONNECTION_(CLOSED|ENDED|DESTROYED)|Connection terminated|ECONNRESET|EPIPE|no connection to the server/.test(
    why,
  )

export const reason = (error: unknown): string => {
  const code = error instanceof Error && "code" in error ? `${String(error.code)} ` : ""
  return `${code}${error instanceof Error ? error.message : String(error)}`
}
