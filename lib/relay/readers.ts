/**
 * The listener for sessions that only read, and the standbys that they are led to.
 *
 * It knows standbys and nothing else. A client for whom there is none becomes a client of the
 * primary's relay, where it is held, led, drained and cut like every other one there. So no session
 * to a primary is ever this listener's, and whatever the gate promises holds for them too.
 *
 * The promise is in `apply`, as in the primary's relay: once it has resolved no byte of any client
 * reaches a destination that the spread does not name.
 */
import type { Readers, RelayOptions, Spread } from "#port/relay.ts"

import { newClients, type Tuning } from "./clients.ts"
import { newListener } from "./listener.ts"
import { usual, type TcpRelay } from "./relay.ts"
import { isSame, newChoice, nowhere } from "./way.ts"
import { ofReaders } from "./words.ts"

export interface TcpReaders extends Readers {
  /** On another port than the options say. */
  listen(port?: number): Promise<void>
  /** The port listened on; differs from the option when that is 0. 0 while not listening. */
  readonly port: number
  /** Clients that were passed on to the primary's relay. */
  readonly passed: number
}

/** One that leads nowhere and does not listen yet. `primary` takes clients without a standby. */
export function readers(
  options: RelayOptions,
  primary: Pick<TcpRelay, "take"> | null,
  tuning: Partial<Tuning> = {},
): TcpReaders {
  let passed = 0
  const spare: Tuning["spare"] = (client, said) => {
    passed++
    primary?.take(client, said)
  }
  const all = { ...usual, ...tuning, spare: primary === null ? null : spare }
  const clients = newClients(options, "reads", ofReaders, all)
  const listener = newListener(options, all.shared, clients)
  const choice = newChoice(() => performance.now())

  let present = nameOf({ to: [], leaving: [] })

  const apply = async (spread: Spread): Promise<void> => {
    const name = nameOf(spread)
    if (name === present) return
    present = name
    const { to, leaving } = spread
    const stay = to.flat()
    clients.lead(stay.length === 0 ? nowhere : choice.among(to), (at) => {
      const here = isSame.bind(null, at)
      return stay.some(here) ? "stays" : leaving.some(here) ? "leaves" : "ends"
    })
  }

  return {
    listen: listener.listen,
    unlisten: listener.unlisten,
    apply,
    allow: clients.allow,
    get listening() {
      return listener.listening
    },
    get port() {
      return listener.port
    },
    get passed() {
      return passed
    },
    stats: clients.stats,
    async [Symbol.asyncDispose]() {
      await listener.unlisten()
      await apply({ to: [], leaving: [] })
      clients.dismiss()
    },
  }
}

/** Equal for spreads that say the same. */
const nameOf = ({ to, leaving }: Spread): string =>
  JSON.stringify([...to, leaving].map((group) => group.map(({ host, port }) => [host, port])))
