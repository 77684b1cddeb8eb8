/** How much is measured: the environment's numbers, and where they come from. */
import { setting } from "../failover/tools.ts"
import type { Counts } from "./table.ts"

export interface Sizes extends Counts {
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  /** pgbench's: times 100,000 accounts. */
  readonly scale: number
  /** Bytes of a line that is copied, its end included. */
  readonly copyRow: number
}

interface Size {
  readonly name: string
  readonly usual: number
  /** With SHORT=1, to see that everything works. */
  readonly short: number
}

const table: Readonly<Record<keyof Sizes, Size>> = {
  rounds: { name: "RUNS", usual: 5, short: 1 },
  seconds: { name: "SECONDS", usual: 10, short: 2 },
  warmUpSeconds: { name: "WARMUP", usual: 2, short: 1 },
  scale: { name: "SCALE", usual: 10, short: 1 },
  copyMegabytes: { name: "COPY_MB", usual: 2_000, short: 100 },
  copyRow: { name: "COPY_ROW", usual: 100, short: 100 },
  idle: { name: "IDLE", usual: 10_000, short: 1_000 },
  idlePostgres: { name: "IDLE_POSTGRES", usual: 1_000, short: 100 },
  readers: { name: "READERS", usual: 20, short: 5 },
  connections: { name: "CONNECTIONS", usual: 1_000_000, short: 20_000 },
}

/** Sessions that a proxy may be beginning or ending beside the idle ones. */
const sessionsAside = 50

function sizeNow({ name, usual, short }: Size): number {
  const number = Number(setting(name, `${setting("SHORT", "") === "1" ? short : usual}`))
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`${name}: ${setting(name, "")} is not a whole number from 1 on`)
  return number
}

/**
 * Throws when a setting is no number of something. There are no more idle sessions than a process
 * may have: the limit of descriptors is not what is measured.
 */
export const sizesNow = (sessionsMax: number): Sizes => ({
  rounds: sizeNow(table.rounds),
  seconds: sizeNow(table.seconds),
  warmUpSeconds: sizeNow(table.warmUpSeconds),
  scale: sizeNow(table.scale),
  copyMegabytes: sizeNow(table.copyMegabytes),
  copyRow: sizeNow(table.copyRow),
  idle: Math.min(sizeNow(table.idle), sessionsMax - sessionsAside),
  idlePostgres: sizeNow(table.idlePostgres),
  readers: sizeNow(table.readers),
  connections: sizeNow(table.connections),
})

/** What decides whether rounds of two sittings may be put together: all but their number. */
export const scaleOf = (sizes: Sizes): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(sizes).filter(([key]) => key !== "rounds"))

/** The words of the command that was given. */
export const commandNow = (): string =>
  [
    "make bench-proxy",
    ...["SHORT", "LANES", "ONLY", "ROWS", "SEED", ...Object.values(table).map(({ name }) => name)]
      .filter((name) => process.env[name] !== undefined)
      .map((name) => `${name}=${process.env[name]}`),
  ].join(" ")
