/**
 * The TCP data plane: a listener, its clients, and the one route that they follow.
 *
 * The promise is in `apply`: when it has resolved, no byte of any client reaches a destination
 * other than the new one, whether its session was open, dialling, or accepted and not dialled
 * yet. It never forwards by a route that it was not told, never has two connections for one client,
 * and no client, however it behaves, ends the process, makes it spin or delays a cut.
 */
import type { Applied, Relay, RelayOptions, Route } from "#port/relay.ts"

import { millis, never } from "#base/brand.ts"

import { newClients, type Tuning } from "./clients.ts"
import { newListener } from "./listener.ts"
import { handlers } from "./pump.ts"
import type { Socket } from "./session.ts"
import { isSame, nowhere, only } from "./way.ts"
import { ofPrimary } from "./words.ts"

export interface TcpRelay extends Relay {
  /** On another port than the options say. */
  listen(port?: number): Promise<void>
  /** The port listened on; differs from the option when that is 0. 0 while not listening. */
  readonly port: number
  /** Takes a client that another listener has accepted, and what it has said, as one of its own. */
  take(client: Socket, said: Uint8Array | null): void
}

export const usual: Tuning = {
  linger: millis(30_000),
  follow: true,
  spare: null,
  shared: false,
  keys: null,
}

/** A relay that does not listen yet and has nowhere to lead clients. */
export function relay(options: RelayOptions, tuning: Partial<Tuning> = {}): TcpRelay {
  const all = { ...usual, ...tuning }
  const clients = newClients(options, "primary", ofPrimary, all)
  const listener = newListener(options, all.shared, clients)
  let route: Route = { kind: "wait", drain: null }

  const apply = async (next: Route): Promise<Applied> => {
    if (same(route, next)) return clients.drained ?? "done"
    clients.overtake()
    route = next
    if (next.kind === "forward")
      clients.lead(only(next), (at) => (isSame(at, next) ? "stays" : "ends"))
    else if (next.drain !== null && next.drain > 0) return clients.drain(next.drain)
    else clients.lead(nowhere, () => "ends")
    return "done"
  }

  return {
    listen: listener.listen,
    unlisten: listener.unlisten,
    apply,
    allow: clients.allow,
    take(client, said) {
      clients.accept(client, false) // what a load balancer has to say has been said
      if (said !== null) void handlers.data?.(client, Buffer.from(said))
    },
    get listening() {
      return listener.listening
    },
    get port() {
      return listener.port
    },
    stats: clients.stats,
    async [Symbol.asyncDispose]() {
      await listener.unlisten()
      await apply({ kind: "wait", drain: null })
      clients.dismiss()
    },
  }
}

function same(a: Route, b: Route): boolean {
  switch (a.kind) {
    case "wait":
      return b.kind === "wait" && a.drain === b.drain
    case "forward":
      return b.kind === "forward" && isSame(a, b)
    default:
      return never(a)
  }
}
