/**
 * pgbench, run and read: transactions a second from its summary, percentiles from its log of
 * transactions. What it could not do counts for nothing: a failed transaction fails the
 * measurement.
 */
import { readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { quantile } from "../failover/tools.ts"
import type { Children } from "./children.ts"
import { database, role } from "./site.ts"

export interface Load {
  readonly clients: number
  /** The rest of pgbench's words. */
  readonly words: readonly string[]
  /** Of the transactions, the share that is logged: writing all of them costs the client time. */
  readonly sampled: number
}

export interface Summary {
  readonly tps: number
  readonly transactions: number
}

/** pgbench's word for a connection of its own for every transaction. */
export const reconnecting = "-C"

/** Two threads drive two cores; a client alone needs one. */
const threadsMax = 2

const pgbenchWords = (port: number, words: readonly string[]): readonly string[] => [
  join(postgresPrograms(""), "pgbench"),
  ...["-h", "127.0.0.1", "-p", `${port}`, "-U", role],
  ...words,
  database,
]

/** Makes pgbench's tables, of `scale` times 100,000 accounts. */
export async function fill(children: Children, port: number, scale: number): Promise<void> {
  await children.run(pgbenchWords(port, ["-i", "-q", "-s", `${scale}`]))
}

const loadWords = ({ clients, words }: Load, seconds: number): readonly string[] => [
  ...["-c", `${clients}`, "-j", `${Math.min(clients, threadsMax)}`, "-T", `${seconds}`],
  ...words,
]

/** The same load, not counted; pgbench vacuums its small tables before. */
export async function warmUp(
  children: Children,
  port: number,
  load: Load,
  seconds: number,
): Promise<void> {
  await children.run(pgbenchWords(port, loadWords(load, seconds)))
}

/** `directory` is empty, and pgbench may write there. */
export async function pgbench(
  children: Children,
  port: number,
  load: Load,
  seconds: number,
  directory: string,
): Promise<Summary & { readonly p50: number; readonly p99: number }> {
  const words = [
    ...loadWords(load, seconds),
    ...["-n", "--log", `--log-prefix=${join(directory, "log")}`, `--sampling-rate=${load.sampled}`],
  ]
  const summary = summaryOf(
    await children.run(pgbenchWords(port, words)),
    load.words.includes(reconnecting),
  )
  const logs = readdirSync(directory).map((name) => readFileSync(join(directory, name), "latin1"))
  const all = logs.flatMap((text) => latencies(text))
  if (all.length === 0) throw new Error("pgbench has logged no transaction")
  return { ...summary, p50: quantile(all, 0.5), p99: quantile(all, 0.99) }
}

/**
 * What pgbench prints at its end, versions 13 to 18; throws when a transaction failed. Where every
 * transaction connects, connecting counts; else only what comes after it.
 */
export function summaryOf(text: string, connects: boolean): Summary {
  const number = (pattern: RegExp): number | null => {
    const found = pattern.exec(text)?.[1]
    return found === undefined ? null : Number(found)
  }
  const failed = number(/^number of failed transactions: (\d+)/m) ?? 0
  if (failed > 0) throw new Error(`${failed} transactions of pgbench failed: ${text}`)
  const transactions = number(/^number of transactions actually processed: (\d+)/m)
  const rate = number(
    connects
      ? /^tps = ([\d.]+) \(including (?:reconnection times|connections establishing)\)/m
      : /^tps = ([\d.]+) \((?:without initial connection time|excluding [a-z ]+)\)/m,
  )
  if (transactions === null || rate === null) throw new Error(`not pgbench's summary: ${text}`)
  return { tps: rate, transactions }
}

/**
 * Milliseconds of each transaction in a log: client, number, microseconds, script, time. A word in
 * place of the microseconds says that it failed or was skipped.
 */
export function latencies(log: string): readonly number[] {
  return log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const time = line.split(" ")[2] ?? ""
      if (!/^\d+$/.test(time)) throw new Error(`a transaction of pgbench without a time: ${line}`)
      return Number(time) / 1000
    })
}
