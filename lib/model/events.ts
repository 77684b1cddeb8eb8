/**
 * Everything that a component may report, one row each: the level it is logged at and what it
 * means. Logs, metrics, documentation and the simulator's coverage derive from this table; tests
 * assert codes, never log text.
 */
export type Level = "debug" | "info" | "warn" | "error"

const row = (level: Level, doc: string): { readonly level: Level; readonly doc: string } => ({
  level,
  doc,
})

export const events = {
  // every agent
  "store.failed": row(
    "warn",
    "The store could not be read or written; the component goes on as it is and tries again.",
  ),
  "store.recovered": row("info", "The store answers again."),
  "view.absent": row(
    "info",
    "There is no cluster data; nothing is done until somebody initialises the cluster.",
  ),
  "view.malformed": row(
    "error",
    "The cluster data cannot be used as it is; nothing is done on its behalf.",
  ),
  "view.invalid": row(
    "error",
    "The cluster specification breaks a rule; the cluster is not managed until it is corrected.",
  ),
  "info.malformed": row(
    "warn",
    "A component published something that cannot be read; it counts as silent.",
  ),
  "agent.failed": row(
    "error",
    "A round ended with an unexpected error; the next one starts afresh.",
  ),

  // sentinel
  "leader.elected": row("info", "This sentinel leads: it alone writes the cluster data now."),
  "leader.lost": row("warn", "This sentinel no longer leads."),
  "election.failed": row("warn", "Standing for election failed; another try follows."),
  "write.conflict": row(
    "info",
    "Somebody else wrote first; this decision is dropped and made again.",
  ),
  "write.unknown": row(
    "warn",
    "A write was not answered; the next read tells whether it was applied.",
  ),
  "write.late": row(
    "warn",
    "A decision was older than sleepInterval when it was ready, and dropped (W4).",
  ),
  "invariant.broken": row("error", "A decision broke a rule about itself and was not written."),
  "keeper.discovered": row("info", "A keeper published itself for the first time."),
  "keeper.failed": row("warn", "A keeper has been silent for failInterval, or was forced to fail."),
  "keeper.recovered": row("info", "A failed keeper publishes again."),
  "keeper.removed": row("info", "A dead keeper without a DB was forgotten."),
  "keeper.duplicate": row(
    "error",
    "Two keepers run with one uid; the one that came later is not listened to and does nothing (D-16).",
  ),
  "cluster.initializing": row("info", "A keeper was chosen to initialise the cluster."),
  "cluster.initialized": row("info", "The first primary is ready."),
  "cluster.waiting": row("warn", "Initialisation waits; the fields say for whom, and why."),
  "cluster.failed": row(
    "error",
    "Initialisation failed on the chosen keeper; another try follows.",
  ),
  "primary.failed": row("warn", "The primary is judged failed; the reason says by which rule."),
  "primary.deposed": row("warn", "The gate is closed and the primary revoked (W1)."),
  "primary.fenced": row(
    "info",
    "The old primary provably acknowledges nothing any more, or every proxy stopped sending to it.",
  ),
  "primary.elected": row("info", "A new primary was chosen (W2)."),
  "primary.stuck": row(
    "error",
    "No DB may be promoted; the reason and what resolves it are in the fields.",
  ),
  "primary.reinstated": row(
    "info",
    "Nobody could be promoted, so the old primary is primary again in a new epoch (W7).",
  ),
  "primary.role": row("info", "A standby cluster becomes a cluster of its own."),
  "failover.requested": row("info", "An operator asked for a failover."),
  "failover.refused": row(
    "warn",
    "A requested failover cannot be carried out; the reason is in the fields.",
  ),
  "failover.paused": row(
    "warn",
    "The primary is judged failed, and left alone because an operator paused; the reason says who.",
  ),
  "reclone.refused": row(
    "warn",
    "A fresh copy that was asked for cannot be made; the reason is in the fields.",
  ),
  "gate.opened": row("info", "Proxies may forward to the primary."),
  "gate.waiting": row("info", "The gate stays closed; the fields say what is missing."),
  "gate.proxies": row("info", "The set of proxies that may forward changed."),
  "db.added": row("info", "A keeper was assigned a new standby."),
  "db.removed": row("info", "A DB was taken out of the cluster; its keeper is free."),
  "db.failed": row("warn", "A DB is judged failed."),
  "db.recovered": row("info", "A failed DB is healthy again."),
  "sync.changed": row("info", "The wanted synchronous standbys changed."),
  "sync.confirmed": row("info", "The primary reports the wanted standbys in sync."),
  "sync.degraded": row("warn", "Fewer synchronous standbys are healthy than wanted."),

  // keeper
  "keeper.started": row("info", "The keeper runs."),
  "keeper.stopping": row("info", "The keeper stops, and PostgreSQL with it."),
  "postgres.adopted": row("info", "A running PostgreSQL was taken over without a restart."),
  "postgres.unwritable": row(
    "error",
    "The primary cannot write its data; when that lasts, a standby takes over.",
  ),
  "postgres.exited": row("error", "PostgreSQL ended although nobody had asked."),
  "plan.changed": row("info", "What the keeper is going to do next."),
  "plan.blocked": row(
    "warn",
    "The keeper cannot do what the view asks; the reason says why and what resolves it.",
  ),
  "step.started": row("info", "A step of the plan begins."),
  "step.finished": row("info", "A step of the plan is done."),
  "step.failed": row("error", "A step of the plan failed; it is planned again."),
  "start.failed": row("error", "failed to start postgres"),
  "step.aborted": row("info", "A running step was given up because the plan changed."),
  "step.progress": row("info", "How far a long step is."),
  "parameters.changed": row("info", "postgres parameters changed, reloading postgres instance"),
  "parameters.unchanged": row("info", "postgres parameters not changed"),
  "parameter.ignored": row(
    "warn",
    "A parameter of the specification is not used: managed by the keeper or unknown to this PostgreSQL.",
  ),
  "rewind.impossible": row(
    "warn",
    "usePgrewind is on, but pg_rewind cannot be used here; the data is copied afresh.",
  ),
  "generation.applied": row("info", "The DB's specification is fully applied."),
  "certificate.issued": row("info", "PostgreSQL, primary in this epoch, is stopped for good."),
  "role.created": row("info", "replication role created"),
  "role.superuser": row("info", "superuser password set"),
  "role.added": row("info", "replication role added to superuser"),
  "role.changed": row("info", "A role of the keepers' was made or changed to fit the flags."),

  // guardian
  "guardian.deadline": row(
    "warn",
    "No keeper for longer than the deadline; PostgreSQL is stopped.",
  ),
  "guardian.killed": row("warn", "PostgreSQL did not stop in time and was killed."),

  // proxy
  "proxy.listening": row("info", "The proxy accepts clients."),
  "proxy.closed": row("warn", "The proxy stopped listening: no good check for proxyTimeout."),
  "proxy.cut": row("info", "Every client session was closed; the reason is in the fields."),
  "proxy.forwarding": row("info", "Clients are forwarded to this address."),
  "proxy.timeout": row("warn", "No good check for proxyTimeout; clients are cut."),
  "proxy.stale": row("warn", "A view was too old when it was to be applied, and dropped (D-14)."),
} as const satisfies Readonly<Record<string, { readonly level: Level; readonly doc: string }>>

export type EventCode = keyof typeof events
export type EventField = string | number | boolean

/**
 * One thing that happened. `fields` hold names and values for people and for tests; never a secret.
 */
export interface Event {
  readonly code: EventCode
  readonly fields: Readonly<Record<string, EventField>>
}

export const event = (
  code: EventCode,
  fields: Readonly<Record<string, EventField>> = {},
): Event => ({ code, fields })
