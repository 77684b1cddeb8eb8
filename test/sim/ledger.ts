/**
 * What clients were told: every acknowledged row, with the record that holds it. The checkers'
 * ground truth, and nothing that an agent could see.
 */
import type { Instance } from "./server.ts"
import type { Rec } from "./wal.ts"

export interface Ack {
  readonly row: number
  readonly record: Rec
  readonly systemID: string
  /** When PostgreSQL acknowledged, and when the client heard of it. */
  readonly at: number
  readonly heardAt: number
  /** Who: host and timeline. */
  readonly writer: string
  readonly host: string
  readonly throughProxy: boolean
  /** Must never be lost: synchronous replication was promised for it. */
  strict: boolean
  /** It is already known to be lost (asynchronous mode); reported once. */
  lost: boolean
}

export interface Ledger {
  readonly acks: Ack[]
  /** What the specification promises now; rows acknowledged without the promise are not strict. */
  promise: "sync" | "async"
  /** Whatever is acknowledged with the promise is on a second disk: minSynchronousStandbys >= 1. */
  second: boolean
  /** Synchronous from the first day: then even a primary without standbys promises. */
  always: boolean
  /** Called for each acknowledgement. */
  readonly listeners: ((ack: Ack, instance: Instance) => void)[]
  add(ack: Ack, instance: Instance): void
  /** The operator gave the promise up: everything so far may be lost now. */
  relax(): void
  /**
   * The operator began a new cluster: the rows of these old ones, also those still to come, are out
   * of everybody's hands.
   */
  forget(systems: Iterable<string>): void
}

export function createLedger(promise: Ledger["promise"], second: boolean): Ledger {
  const forgotten = new Set<string>()
  const ledger: Ledger = {
    acks: [],
    promise,
    second,
    always: promise === "sync",
    listeners: [],
    add(ack, instance) {
      if (forgotten.has(ack.systemID)) return
      ledger.acks.push(ack)
      for (const listener of ledger.listeners) listener(ack, instance)
    },
    relax() {
      ledger.promise = "async"
      ledger.always = false
      for (const ack of ledger.acks) ack.strict = false
    },
    forget(systems) {
      for (const system of systems) forgotten.add(system)
      ledger.acks.length = 0
    },
  }
  return ledger
}
