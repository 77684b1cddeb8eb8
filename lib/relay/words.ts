/** What clients are told when they are let go. A driver reads the code, a person the rest. */
import type { Millis } from "#base/brand.ts"

import { farewell } from "./startup.ts"

/** The words of a listener, by what it leads to. */
export interface Words {
  /** The session is ended between two transactions. */
  readonly rested: Uint8Array
  /** The session is ended wherever it was: a failover, a bound that is over, a proxy that ends. */
  readonly cutOff: Uint8Array
  /** There has been nobody to lead this client to, for all the time that it may wait. */
  readonly unavailable: (waited: Millis) => Uint8Array
  /** There are as many as there may be. */
  readonly crowded: (max: number) => Uint8Array
}

const crowded = (max: number): Uint8Array =>
  farewell(
    "53300",
    `the proxy takes no more than ${max} connections`,
    "Connect again when others have gone, or raise --max-connections of the proxy.",
  )

export const ofPrimary: Words = {
  rested: farewell(
    "57P01",
    "the proxy has ended this connection while it was idle",
    "Connect again: the primary is being switched over, or this proxy is being stopped.",
  ),
  cutOff: farewell(
    "57P01",
    "the proxy has ended this connection: it does not lead to the present primary any more",
    "Connect again. What became of a transaction under way has to be looked up.",
  ),
  unavailable: (waited) =>
    farewell(
      "57P03",
      `the database system is not available: no primary for ${waited / 1000} s`,
      "Connect again later: the connection will be led to the primary as soon as there is one.",
    ),
  crowded,
}

export const ofReaders: Words = {
  rested: farewell(
    "57P01",
    "this standby is not one that the proxy leads reads to any more",
    "Connect again: the connection will be led to another server.",
  ),
  cutOff: farewell(
    "57P01",
    "the proxy has ended this connection: it does not lead to a standby for reads any more",
    "Connect again: the connection will be led to another server.",
  ),
  unavailable: (waited) =>
    farewell(
      "57P03",
      `the database system is not available: no standby for reads for ${waited / 1000} s`,
      "Connect again later. --fallback-primary of the proxy leads reads to the primary then.",
    ),
  crowded,
}
