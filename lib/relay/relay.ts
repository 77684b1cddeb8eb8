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
import { descriptor, descriptorLimit, setKeepalive } from "./libc.ts"
import { handlers } from "./pump.ts"
import { newSession, type Side } from "./session.ts"

export interface TcpRelay extends Relay {
  /** The port listened on; differs from the option when that is 0. 0 while not listening. */
  readonly port: number
}

const usual: Tuning = { linger: millis(30_000), follow: true }

/** A relay that does not listen yet and has nowhere to lead clients. */
export function relay(options: RelayOptions, tuning: Partial<Tuning> = {}): TcpRelay {
  const clients = newClients(options, { ...usual, ...tuning })
  const { shared } = clients
  let route: Route = { kind: "wait", drain: null }
  let listener: Bun.TCPSocketListener<Side> | null = null

  const listen = async (): Promise<void> => {
    if (listener !== null) return
    shared.descriptorsMax = sessionDescriptors(descriptorLimit())
    listener = Bun.listen<Side>({
      hostname: options.host === "" ? "::" : options.host,
      port: options.port,
      allowHalfOpen: true,
      exclusive: true,
      data: newSession("over", null, shared).client, // of a refused socket: handlers leave it alone
      socket: { ...handlers, open: (client) => clients.accept(client, route) },
    })
    setKeepalive(descriptor(listener), options.keepalive)
  }
  const unlisten = async (): Promise<void> => {
    listener?.stop(false)
    listener = null
  }
  const apply = async (next: Route): Promise<Applied> => {
    if (same(route, next)) return clients.drained ?? "done"
    clients.overtake()
    route = next // before cutting: whoever is accepted from here on belongs to the new route
    if (next.kind === "wait" && next.drain !== null && next.drain > 0)
      return clients.drain(next.drain)
    clients.leadOnly(next.kind === "forward" ? next : null)
    return "done"
  }

  return {
    listen,
    unlisten,
    apply,
    get listening() {
      return listener !== null
    },
    get port() {
      return listener?.port ?? 0
    },
    stats: clients.stats,
    async [Symbol.asyncDispose]() {
      await unlisten()
      await apply({ kind: "wait", drain: null })
      clients.dismiss()
    },
  }
}

/**
 * Sessions get all descriptors but 64 (a quarter of a small limit), which remain for the store,
 * logs and files.
 */
const sessionDescriptors = (limit: number): number => limit - Math.min(64, Math.ceil(limit / 4))

function same(a: Route, b: Route): boolean {
  switch (a.kind) {
    case "wait":
      return b.kind === "wait" && a.drain === b.drain
    case "forward":
      return b.kind === "forward" && a.host === b.host && a.port === b.port
    default:
      return never(a)
  }
}
