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
  "primary.evidence": row(
    "info",
    "This sentinel was refused at the primary's doors, and says so to the others (D2).",
  ),
  "electable.changed": row(
    "info",
    "Who may be elected changed; the primary has to take it in before the next change (O3).",
  ),
  "spec.restored": row(
    "warn",
    "A Go leader had dropped selfFencing, which the keepers keep to; it stands in the specification again (L6).",
  ),
  "leader.unseated": row(
    "warn",
    "The leading sentinel has ended, so its office was taken from it and another is elected at once (D4).",
  ),
  "switchover.asked": row(
    "info",
    "An operator asked for a switchover; target and reasons are checked.",
  ),
  "switchover.holding": row(
    "info",
    "The gate is closed and clients wait while their last transactions end.",
  ),
  "switchover.cuts": row(
    "warn",
    "These proxies cannot hold clients; they cut every connection when the gate closes.",
  ),
  "switchover.stopping": row("info", "No client is left; the old primary stops in good order."),
  "switchover.done": row("info", "Clients get through to the new primary."),
  "switchover.given-up": row(
    "warn",
    "A switchover was refused or given up; the reason is in the fields, and ctl is told.",
  ),
  "failover.requested": row("info", "An operator asked for a failover."),
  "failover.refused": row(
    "warn",
    "A requested failover cannot be carried out; the reason is in the fields.",
  ),
  "cluster.moving": row(
    "warn",
    "The cluster moves between stores; nobody is replaced until all of it has arrived (M1).",
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
  "guardian.silent": row(
    "warn",
    "The guardian does not answer; if it still does not at its deadline, it is killed with its PostgreSQL.",
  ),
  "lease.granted": row(
    "info",
    "The store confirmed that PostgreSQL here may take writes, for the length of a lease at a time.",
  ),
  "lease.unconfirmed": row(
    "warn",
    "A lease could not be renewed; the primary ends with it unless one of the next tries succeeds.",
  ),
  "lease.lapsed": row(
    "error",
    "The lease ran out: PostgreSQL takes no writes here any more, and is stopped by its guardian.",
  ),
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

  // promises
  "promise.received": row(
    "warn",
    "The store is silent; all who could be elected promised to promote nobody, so the primary goes on (O1).",
  ),
  "promise.missing": row(
    "warn",
    "The store is silent, and not all who could be elected promised; the primary ends with its lease.",
  ),
  "promise.given": row(
    "info",
    "The store is silent; this keeper promised the primary's to promote nobody for a while (O2).",
  ),
  "promise.recalled": row(
    "info",
    "A promise from before the restart binds for its whole length again (O2).",
  ),

  // guardian
  "guardian.deadline": row(
    "warn",
    "Nobody prolonged the time of PostgreSQL, as its keeper or by a lease; it is stopped.",
  ),
  "guardian.killed": row("warn", "PostgreSQL did not stop in time and was killed."),

  // proxy
  "proxy.listening": row("info", "The proxy accepts clients."),
  "proxy.closed": row("warn", "The proxy stopped listening: no good check for proxyTimeout."),
  "proxy.cut": row("info", "Every client session was closed; the reason is in the fields."),
  "proxy.draining": row(
    "info",
    "A switchover: client sessions are closed as they become idle, and new ones wait.",
  ),
  "proxy.retiring": row(
    "info",
    "Asked to end: nobody new is let in, and sessions are closed as they become idle.",
  ),
  "proxy.drained": row("info", "No client session is left; the hold is acknowledged."),
  "proxy.forwarding": row("info", "Clients are forwarded to this address."),
  "proxy.refused": row(
    "warn",
    "The address of the primary leads to somebody else, says its keeper; it is not opened (D-15).",
  ),
  "proxy.timeout": row("warn", "No good check for proxyTimeout; clients are cut."),
  "proxy.vouched": row(
    "warn",
    "The store is silent; clients stay with the primary for as long as its keeper's lease runs (O4).",
  ),
  "proxy.stale": row("warn", "A view was too old when it was to be applied, and dropped (D-14)."),
  "reads.listening": row("info", "The proxy accepts clients that only read."),
  "reads.joined": row("info", "Clients that only read are led to this standby."),
  "reads.left": row(
    "info",
    "No reads are led to this standby any more; the reason is in the fields.",
  ),
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
