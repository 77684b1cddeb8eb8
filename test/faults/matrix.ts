/**
 * The rows: which cluster, what it promises, and the rows that must come out invalid. Those prove
 * that the clients, the faults and the checker together see what they are there for: a checker that
 * never found anything has proved nothing.
 */
import type { Promises, Rule } from "./judge.ts"

export interface Row {
  readonly name: string
  readonly title: string
  /** Beyond what `stolon ctl init` writes. */
  readonly spec: Readonly<Record<string, unknown>>
  readonly promises: Promises
  readonly fenced: boolean
  readonly synchronousStandbys: number
  /** Valid: no finding. Otherwise at least one finding of these rules, and that is the success. */
  readonly invalid: readonly Rule[] | null
  /** Names of nemeses; null for all of `nemesis.ts`. */
  readonly nemeses: readonly string[] | null
  /** Statements of the superuser before clients begin. */
  readonly statements: readonly string[]
}

/**
 * What keeps data directories small, so that copies and rewinds are quick. PostgreSQL keeps each
 * timeline's file for a segment until that is old, and a rewind copies them all. Elsewhere hundreds
 * of changes of the primary see more WAL than here, so segments end soon (`run.ts`) and go.
 */
const pgParameters = {
  checkpoint_timeout: "30s",
  shared_buffers: "16MB",
  max_wal_size: "128MB",
  min_wal_size: "80MB",
  wal_keep_size: "64MB",
  log_checkpoints: "off",
}

const replications = [
  { name: "async", title: "asynchronous", standbys: 0, spec: {} },
  {
    name: "sync1",
    title: "synchronous, one standby",
    standbys: 1,
    spec: { synchronousReplication: true, minSynchronousStandbys: 1, maxSynchronousStandbys: 1 },
  },
  {
    name: "sync2",
    title: "synchronous, two standbys",
    standbys: 2,
    spec: { synchronousReplication: true, minSynchronousStandbys: 1, maxSynchronousStandbys: 2 },
  },
] as const

const valid: readonly Row[] = replications.flatMap(({ name, title, standbys, spec }) =>
  [true, false].map((fenced) => ({
    name: fenced ? name : `${name}-unfenced`,
    title: `${title}, lease ${fenced ? "on" : "off"}`,
    spec: { ...spec, selfFencing: fenced, pgParameters },
    promises: { synchronous: standbys > 0, writers: fenced ? "any" : "proxied" },
    fenced,
    synchronousStandbys: standbys,
    invalid: null,
    nemeses: null,
    statements: [],
  })),
)

const invalid: readonly Row[] = [
  {
    name: "invalid-isolated",
    title: "asynchronous, lease off, direct clients count, primary isolated",
    spec: { selfFencing: false, pgParameters },
    promises: { synchronous: false, writers: "any" },
    fenced: false,
    synchronousStandbys: 0,
    invalid: ["two writers"],
    nemeses: ["isolate primary"],
    statements: [],
  },
  {
    name: "invalid-commit-off",
    title: "synchronous, but synchronous_commit off",
    spec: {
      synchronousReplication: true,
      selfFencing: true,
      pgParameters: { ...pgParameters, wal_writer_delay: "1s" },
    },
    promises: { synchronous: true, writers: "any" },
    fenced: true,
    synchronousStandbys: 1,
    invalid: ["lost"],
    nemeses: ["kill all of primary"],
    statements: ["alter role app set synchronous_commit = off"],
  },
  {
    name: "invalid-clock",
    title: "asynchronous, lease on, the primary's clock 20 % slow",
    // A long lease, so that a fifth of it is more than a promotion takes; but shorter than an info
    // lives in the store, or its end would count from there.
    spec: { failInterval: "18s", fencingLease: "17.5s", selfFencing: true, pgParameters },
    promises: { synchronous: false, writers: "any" },
    fenced: true,
    synchronousStandbys: 0,
    invalid: ["two writers"],
    nemeses: ["isolate primary with a slow clock"],
    statements: [],
  },
]

export const rows: readonly Row[] = [...valid, ...invalid]
