/**
 * The Readers port of one proxy. Its sessions are carried like those of a relay; a client for whom
 * there is no standby goes through the primary's relay of the same proxy.
 *
 * Whoever reads here writes as soon as the server takes it: a session that a proxy has forgotten on
 * a standby that was promoted is found by P1.
 */
import type { Destination, Readers, Spread } from "#port/relay.ts"
import { addressOf } from "./server.ts"
import { type SimRelay, createRelay } from "./relay.ts"
import type { Process, World } from "./world.ts"

export interface SimReaders {
  /** Who carries the sessions. */
  readonly relay: SimRelay
  readonly primary: SimRelay
  readonly port: Readers
  spread: Spread
}

export function createReaders(world: World, process: Process, primary: SimRelay): SimReaders {
  const relay = createRelay(world, process)
  relay.rested = (connection) => {
    if (isAt(readers.spread.leaving, addressOf(connection.instance))) relay.close(connection)
  }
  const port: Readers = {
    listen: relay.port.listen,
    unlisten: relay.port.unlisten,
    get listening() {
      return relay.port.listening
    },
    apply(spread) {
      readers.spread = spread
      for (const connection of relay.connections) {
        const at = addressOf(connection.instance)
        if (isAt(spread.to.flat(), at)) continue
        if (!isAt(spread.leaving, at) || !connection.busy) relay.close(connection)
      }
      return Promise.resolve()
    },
    allow: relay.port.allow,
    stats: relay.port.stats,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const readers: SimReaders = { relay, primary, port, spread: { to: [], leaving: [] } }
  return readers
}

const isAt = (places: readonly Destination[], address: string): boolean =>
  places.some(({ host, port }) => `${host}:${port}` === address)
