/**
 * What is done to a cluster, and what a system under the bench has to be able to do. One row per
 * line of the table in the documentation; what a fault means for one system is in that system's
 * file, what it costs a client is measured in one place for all (`run.ts`).
 */

export type FaultId =
  | "postgres-killed"
  | "node-killed"
  | "guardian-killed"
  | "leader-killed"
  | "node-silent"
  | "leader-silent"
  | "switchover"
  | "store-frozen"

export interface Fault {
  readonly id: FaultId
  readonly title: string
  /**
   * The row that says the same of Patroni, which has neither guardian nor sentinel: a node is the
   * agent and PostgreSQL. Measured once there.
   */
  readonly patroni: FaultId
  /** How long the client goes on after writes have resumed, for a second gap. */
  readonly tailMs: number
}

const row = (id: FaultId, title: string, patroni: FaultId = id, tailMs = 2_000): Fault => ({
  id,
  title,
  patroni,
  tailMs,
})

export const storeFrozenMs = 30_000

export const faults: readonly Fault[] = [
  row("postgres-killed", "PostgreSQL killed"),
  row("node-killed", "node killed: keeper and PostgreSQL, guardian alive"),
  row("guardian-killed", "node killed, guardian too, host alive", "node-killed"),
  row("leader-killed", "the same with the leader sentinel on it", "node-killed"),
  row("node-silent", "node silent (every process frozen)"),
  row("leader-silent", "node silent with the leader sentinel on it", "node-silent"),
  row("switchover", "planned switchover"),
  // a loop of the slowest may notice only after the store is back
  row("store-frozen", "all store members frozen for 30 s", "store-frozen", 12_000),
]

/** A fault made ready: everybody is where the row wants them. */
export interface Stage {
  /** Where the client connects: a proxy that the fault does not touch. */
  readonly port: number
  /** Does it; resolves once it is done, for a switchover once its command has ended. */
  strike(): Promise<void>
  /** Brings back what the fault took; never gives the cluster a hand otherwise. */
  repair(): Promise<void>
}

export interface System extends AsyncDisposable {
  prepare(fault: FaultId): Promise<Stage>
  /** Waits until every node runs its part and clients get through. */
  settled(): Promise<void>
  /** Where the primary's PostgreSQL itself listens, while the cluster is whole. */
  primaryPort(): Promise<number>
  /** Files that components log to. */
  readonly logs: readonly string[]
  /** What a reader of the table has to know, such as a command that stood in for another. */
  readonly notes: readonly string[]
}

export interface Lane {
  readonly id: string
  readonly title: string
  readonly family: "ours" | "patroni"
  /**
   * The beat of the system's own loop: the fault strikes at a random moment of it, or every run
   * would meet the same phase.
   */
  readonly beatMs: number
  readonly settings: string
  open(): Promise<System>
}

/** The row that a lane measures for this fault; the same fault for ours. */
export const measured = (lane: Lane, fault: Fault): FaultId =>
  lane.family === "ours" ? fault.id : fault.patroni

/** As many faults as it takes for a run of a lane, each once. */
export const ownFaults = (lane: Lane, all: readonly Fault[]): readonly Fault[] => {
  const wanted = new Set(all.map((each) => measured(lane, each)))
  return faults.filter(({ id }) => wanted.has(id))
}
