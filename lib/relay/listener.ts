/**
 * The listening socket of a relay. It is opened and closed again as often as it takes; the clients
 * that it has accepted are not its business.
 */
import type { RelayOptions } from "#port/relay.ts"

import type { Clients } from "./clients.ts"
import { descriptor, descriptorLimit, setKeepalive } from "./libc.ts"
import { handlers } from "./pump.ts"
import { newSession, type Side } from "./session.ts"

export interface Listener {
  listen(port?: number): Promise<void>
  unlisten(): Promise<void>
  readonly listening: boolean
  /** The port listened on; differs from the option when that is 0. 0 while not listening. */
  readonly port: number
}

/**
 * One that does not listen yet.
 *
 * @param together Others listen on the same port, and the kernel shares the clients out.
 */
export function newListener(
  options: Pick<RelayOptions, "host" | "port" | "keepalive" | "userTimeout">,
  together: boolean,
  { shared, accept }: Pick<Clients, "shared" | "accept">,
): Listener {
  let socket: Bun.TCPSocketListener<Side> | null = null
  return {
    async listen(port = options.port) {
      if (socket !== null) return
      shared.descriptorsMax = sessionDescriptors(descriptorLimit())
      socket = Bun.listen<Side>({
        hostname: options.host === "" ? "::" : options.host,
        port,
        allowHalfOpen: true,
        ...(together ? { reusePort: true } : { exclusive: true }),
        data: newSession("over", null, shared).client, // of a refused socket: handlers leave it alone
        socket: { ...handlers, open: (client) => accept(client) },
      })
      const { keepalive, userTimeout = 0 } = options
      setKeepalive(descriptor(socket), { ...keepalive, userTimeout })
    },
    async unlisten() {
      socket?.stop(false)
      socket = null
    },
    get listening() {
      return socket !== null
    },
    get port() {
      return socket?.port ?? 0
    },
  }
}

/**
 * Sessions get all descriptors but 64 (a quarter of a small limit), which remain for the store,
 * logs and files.
 */
const sessionDescriptors = (limit: number): number => limit - Math.min(64, Math.ceil(limit / 4))
