/** What clients are told when they are let go. A driver reads the code, a person the rest. */
import type { Millis } from "#base/brand.ts"

import { farewell } from "./startup.ts"

/** The session is ended between two transactions. */
export const switchedOver: Uint8Array = farewell(
  "57P01",
  "the primary of this cluster is being switched over",
  "Connect again: the connection will be led to the new primary.",
)

/** The session is ended wherever it was: a failover, a bound that is over, a proxy that ends. */
export const cutOff: Uint8Array = farewell(
  "57P01",
  "the proxy has ended this connection: it does not lead to the present primary any more",
  "Connect again. What became of a transaction under way has to be looked up.",
)

/** There has been nobody to lead this client to, for all the time that it may wait. */
export const unavailable = (waited: Millis): Uint8Array =>
  farewell(
    "57P03",
    `the database system is not available: no primary for ${waited / 1000} s`,
    "Connect again later: the connection will be led to the primary as soon as there is one.",
  )
