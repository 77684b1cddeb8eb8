/**
 * What the bench of proxies measures: each row with its numbers, in the order of the page. How a
 * row is measured is in `measures.ts`; that there is a measure for each of them the types demand.
 */
export interface Metric {
  readonly id: string
  readonly title: string
  readonly better: "more" | "less"
  readonly digits: number
  /** False: nothing to divide by, where all is well. */
  readonly compared: boolean
}

export interface Row {
  readonly id: RowId
  readonly title: string
  /** Real PostgreSQL, or the stand-in that only knows how a session begins and ends. */
  readonly site: SiteKind
  /** Has a number without a proxy, too. */
  readonly direct: boolean
  /** Takes so long that each lane is measured once in a sitting, in its first round. */
  readonly once: boolean
  readonly metrics: readonly Metric[]
}

/** The lanes that a ratio or a goal is about. */
export const laneIds = {
  direct: "direct",
  haproxy: "haproxy-1",
  pgbouncer: "pgbouncer",
  ours: "ours-1",
  oursTwo: "ours-2",
} as const

export type SiteKind = "postgres" | "stand-in"

export const rowIds = [
  "select-1",
  "select-8",
  "select-64",
  "select-256",
  "tpcb",
  "connect",
  "copy-out",
  "copy-in",
  "idle",
  "idle-postgres",
  "slow-reader",
  "connections",
] as const
export type RowId = (typeof rowIds)[number]

const metric = (
  id: string,
  title: string,
  better: Metric["better"],
  digits: number,
  compared = true,
): Metric => ({ id, title, better, digits, compared })

const queries: readonly Metric[] = [
  metric("tps", "transactions/s", "more", 0),
  metric("p50", "p50, ms", "less", 3),
  metric("p99", "p99, ms", "less", 3),
  metric("cpu", "CPU s per million", "less", 1),
]
const copies: readonly Metric[] = [
  metric("rate", "MB/s", "more", 0),
  metric("cpu", "CPU s per GB", "less", 2),
]
const sessions: readonly Metric[] = [
  metric("memory", "memory, MB", "less", 1),
  metric("pss", "PSS, MB", "less", 1),
  metric("each", "kB per session", "less", 2),
  metric("cpu", "CPU, % of a core", "less", 2),
]
const reader: readonly Metric[] = [
  metric("peak", "memory at its peak, MB", "less", 1),
  metric("grown", "grown by, MB", "less", 1, false),
  metric("late", "of it in the second half, MB", "less", 1, false),
]
const churn: readonly Metric[] = [
  metric("rate", "connections/s", "more", 0),
  metric("descriptors", "descriptors left behind", "less", 0, false),
  metric("first", "memory after the first 1 %, MB", "less", 1),
  metric("last", "memory at the end, MB", "less", 1),
]

/** The counts that a row has in its title are those of this sitting. */
export interface Counts {
  readonly copyMegabytes: number
  readonly idle: number
  readonly idlePostgres: number
  readonly readers: number
  readonly connections: number
}

export function rowsOf(counts: Counts): readonly Row[] {
  const many = (count: number): string => count.toLocaleString("en-US")
  const size = `${many(counts.copyMegabytes)} MB`
  const plain = { site: "postgres", direct: true, once: false } as const
  const select = (id: RowId, clients: string): Row => ({
    id,
    title: `select-only, prepared, ${clients}`,
    ...plain,
    metrics: queries,
  })
  return [
    select("select-1", "1 client"),
    select("select-8", "8 clients"),
    select("select-64", "64 clients"),
    select("select-256", "256 clients"),
    { id: "tpcb", title: "TPC-B-like, 8 clients", ...plain, metrics: queries },
    { id: "connect", title: "connect per transaction, 8 clients", ...plain, metrics: queries },
    { id: "copy-out", title: `COPY out, ${size}`, ...plain, metrics: copies },
    { id: "copy-in", title: `COPY in, ${size}`, ...plain, metrics: copies },
    {
      id: "idle",
      title: `${many(counts.idle)} idle sessions, stand-in`,
      ...{ site: "stand-in", direct: false, once: false },
      metrics: sessions,
    },
    {
      id: "idle-postgres",
      title: `${many(counts.idlePostgres)} idle sessions, PostgreSQL`,
      ...{ site: "postgres", direct: false, once: false },
      metrics: sessions,
    },
    {
      id: "slow-reader",
      title: `${many(counts.readers)} slow readers`,
      ...{ site: "postgres", direct: false, once: false },
      metrics: reader,
    },
    {
      id: "connections",
      title: `${many(counts.connections)} connections, stand-in`,
      ...{ site: "stand-in", direct: false, once: true },
      metrics: churn,
    },
  ]
}
