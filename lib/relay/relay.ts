/**
 * The TCP data plane: a listener, the sessions, and the one route that they follow.
 *
 * The promise is in `apply`: when it has resolved, no byte of any client reaches a destination
 * other than the new one, whether its session was open, dialling, or accepted and not dialled
 * yet. It never forwards by a route that it was not told, never dials twice for one client, and
 * no client, however it behaves, ends the process or makes it spin.
 */
import type { Relay, RelayOptions, RelayStats, Route } from "#port/relay.ts"

import { type Millis, millis, never } from "#base/brand.ts"

import { attempt, dial } from "./dial.ts"
import { descriptorLimit, setKeepalive } from "./libc.ts"
import { handlers } from "./pump.ts"
import { cut, newSession, type Session, type Shared, type Side } from "./session.ts"

export interface TcpRelay extends Relay {
  /** The port listened on; differs from the option when that is 0. 0 while not listening. */
  readonly port: number
}

const lingerDefault = millis(30_000)

/**
 * A relay that does not listen yet and has the route `wait`. `lingerTimeout`: how long what is
 * left for one side of a session is kept after the other is gone.
 */
export function relay(options: RelayOptions, lingerTimeout: Millis = lingerDefault): TcpRelay {
  const live = new Set<Session>()
  const shared: Shared = {
    counters: {
      accepted: 0,
      refused: 0,
      dialErrors: 0,
      bytesIn: 0,
      bytesOut: 0,
      heldTotal: 0,
      holdTimeouts: 0,
      drained: 0,
      cut: 0,
    },
    dialTimeout: options.dialTimeout,
    lingerTimeout,
    descriptorsMax: 0,
    attempt,
    onOver: (session) => live.delete(session),
  }
  let route: Route = { kind: "wait", drain: null }
  let listener: Bun.TCPSocketListener<Side> | null = null

  const open = (client: Bun.Socket<Side>): void => {
    shared.counters.accepted++
    // Refuse before descriptors run out: Bun does not see EMFILE and would spin on the listener
    // (measured, 1.4.5). The kernel gives the lowest free number, so the number itself says how
    // many are left.
    if (route.kind === "wait" || descriptor(client) >= shared.descriptorsMax) {
      shared.counters.refused++
      client.close()
      return
    }
    const session = begin(client, newSession(route, shared))
    live.add(session)
    dial(session)
  }

  const listen = async (): Promise<void> => {
    if (listener !== null) return
    shared.descriptorsMax = sessionDescriptors(descriptorLimit())
    listener = Bun.listen<Side>({
      hostname: options.host === "" ? "::" : options.host,
      port: options.port,
      allowHalfOpen: true,
      exclusive: true,
      data: nobody(shared),
      socket: { ...handlers, open },
    })
    setKeepalive(descriptor(listener), options.keepalive)
  }
  const unlisten = async (): Promise<void> => {
    listener?.stop(false)
    listener = null
  }
  const apply = async (next: Route): Promise<void> => {
    if (same(route, next)) return
    route = next // before cutting: whoever is accepted from here on belongs to the new route
    for (const session of live) cut(session)
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
    stats: (): RelayStats => ({ sessions: live.size, held: 0, ...shared.counters }),
    async [Symbol.asyncDispose]() {
      await unlisten()
      await apply({ kind: "wait", drain: null })
    },
  }
}

function begin(client: Bun.Socket<Side>, session: Session): Session {
  session.client.socket = client
  session.client.connected = true
  session.client.ready = true
  client.data = session.client
  return session
}

/**
 * What a refused socket carries: a side of a session that is over, so that every handler leaves
 * it alone.
 */
function nobody(shared: Shared): Side {
  const session = newSession({ kind: "forward", host: "", port: 0 }, shared)
  session.over = true
  return session.client
}

/**
 * Sessions get all descriptors but 64 (a quarter of a small limit), which remain for the store,
 * logs and files.
 */
const sessionDescriptors = (limit: number): number => limit - Math.min(64, Math.ceil(limit / 4))

/** Sockets and listeners carry their descriptor at run time; bun-types 1.4.5 does not say so. */
const descriptor = (socket: object): number =>
  "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1

function same(a: Route, b: Route): boolean {
  switch (a.kind) {
    case "wait":
      return b.kind === "wait"
    case "forward":
      return b.kind === "forward" && a.host === b.host && a.port === b.port
    default:
      return never(a)
  }
}
