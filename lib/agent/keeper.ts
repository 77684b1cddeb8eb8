/**
 * The keeper's loops. Three of them are independent, so that none can delay another: the tick
 * (read, look, plan, carry out), the publishing of what is there, and the word to the guardian that
 * a keeper lives. A fourth listens to the store and wakes the tick.
 *
 * They decide nothing. When the store cannot be read, PostgreSQL is left as it is and work in
 * progress goes on. At the end the step in progress is given up and awaited before PostgreSQL is
 * stopped, so nothing starts it again behind our back (D-17).
 */
import { type Millis, millis } from "#base/brand.ts"
import { event } from "#model/events.ts"
import { urgentEscalation } from "#keeper/settings.ts"
import { certifyEnd, lastWords } from "./keeper-end.ts"
import { holding, renewing } from "./keeper-lease.ts"
import { promising } from "./keeper-promise.ts"
import { announce, publishing } from "./keeper-publish.ts"
import { type Keeper, type KeeperOptions, type KeeperPorts, newKeeper } from "./keeper-state.ts"
import { pauseOf, report, tick } from "./keeper-tick.ts"
import { giveUp } from "./keeper-work.ts"
import { forever } from "./loop.ts"

export type { KeeperOptions, KeeperPorts, KeeperState } from "./keeper-state.ts"

/**
 * Runs until `signal` aborts, then stops PostgreSQL and resolves. The info stays until it expires:
 * a keeper that is back in time keeps its role (T11), unless it was a primary whose leader acts on
 * evidence (`keeper-end.ts`).
 */
export async function runKeeper(
  ports: KeeperPorts,
  options: KeeperOptions,
  signal: AbortSignal,
): Promise<void> {
  const keeper = newKeeper(ports, options)
  const { postgres, log } = ports
  log.event(event("keeper.started", { uid: options.uid, boot: postgres.boot }))
  if (postgres.adopted) log.event(event("postgres.adopted"))
  postgres.onChange(() => keeper.wake.ring())
  const ended = new AbortController()
  // to the last: a shutdown that takes its time must not run into the guardian's deadline (D-44)
  const held = Promise.all([
    holding(keeper, ended.signal),
    renewing(keeper, ended.signal),
    promising(keeper, ended.signal),
  ])
  await Promise.all([
    ticking(keeper, signal),
    publishingLoop(keeper, signal),
    listening(keeper, signal),
  ])
  log.event(event("keeper.stopping"))
  try {
    const epoch = await lastWords(keeper)
    await giveUp(keeper)
    if (epoch !== null) await certifyEnd(keeper, epoch)
    await postgres.end(urgentEscalation, new AbortController().signal)
  } finally {
    ended.abort()
    await held
  }
}

const ticking = (keeper: Keeper, signal: AbortSignal): Promise<void> =>
  forever(
    async () => {
      try {
        await tick(keeper, signal)
      } finally {
        announce(keeper)
        report(keeper)
      }
    },
    () => keeper.wake.wait(keeper.ports.clock, pauseOf(keeper), signal),
    keeper.ports.log,
    signal,
  )

const publishingLoop = (keeper: Keeper, signal: AbortSignal): Promise<void> =>
  forever(
    () => publishing(keeper, signal),
    () => keeper.news.wait(keeper.ports.clock, beat(keeper), signal),
    keeper.ports.log,
    signal,
  )

/**
 * While a primary is revoked the leader waits for positions younger than the fence (W2) and asks
 * for them itself; where the question does not get through, they come often.
 */
const beat = ({ view, sleepInterval }: Keeper): Millis =>
  view?.data?.cluster.status.primaryRevoked === true
    ? millis(Math.min(sleepInterval, revokedBeat))
    : sleepInterval
const revokedBeat = 300

const listenPause = millis(1_000)
function listening(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const { store, clock, log } = keeper.ports
  return forever(
    () => store.watch("clusterdata", () => keeper.wake.ring(), signal),
    () => clock.sleep(listenPause, signal),
    log,
    signal,
  )
}
