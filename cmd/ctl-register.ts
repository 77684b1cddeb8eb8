/**
 * `ctl register`: keeps the cluster's databases in Consul's service discovery until it is ended.
 * What is to be there is decided in `lib/ctl/register.ts`; here a round asks the store and the
 * agent and carries the difference out. A round that fails changes nothing more, and the next one
 * comes.
 *
 * Services stay registered at the end, as with Go: their checks tell from then on.
 */
import { bell, forever } from "#agent/loop.ts"
import { checkRegister, registerCommand } from "#cli/register.ts"
import type { Invocation } from "#cli/invocation.ts"
import {
  type Change,
  registration,
  requestOf,
  servicesNamed,
  servicesRequest,
} from "#ctl/register.ts"
import type { Store } from "#port/store.ts"
import { type ConsulAgent, openAgent } from "#store/consul-agent.ts"
import { realClock } from "#system/clock.ts"
import type { ComponentLog } from "#system/log.ts"
import { onShutdown } from "#system/signals.ts"
import { Failure, current, session } from "./ctl-session.ts"
import { print, warn } from "./front.ts"
import { serviceLog } from "./service.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(registerCommand, invocation, async (it) => {
    const checked = checkRegister(it.values, it.dialect)
    if (checked.kind === "refused") throw new Failure(checked.message)
    const { choice } = checked
    const wish = { clusterName: it.values.clusterName, ...choice }
    if (it.values.dryRun) {
      const { data } = await current(it)
      const { changes, skipped } = registration(data, wish, [])
      for (const { id, why } of skipped) await warn(`${id} is left out: ${why}\n`)
      const lines = changes
        .map(requestOf)
        .map(({ method, path, body }) => `${method} ${path} ${body}\n`)
      await print(lines.join(""))
      return 0
    }
    await using stack = new AsyncDisposableStack()
    const values = {
      ...{ logLevel: choice.level, debug: it.values.debug },
      ...({ logFormat: "text", logColor: false } as const),
    }
    const log = serviceLog("register", values, it.changed, invocation)
    stack.defer(() => log.flush(500))
    const { signal } = stack.use(onShutdown())
    const settings = { tls: choice.tls, timeout: it.choice.timeout }
    const agent = stack.use(openAgent(choice.endpoint, settings, realClock))
    const store = await it.store()
    const wake = bell()
    const left = new Map<string, string>()
    const loops = [
      forever(
        () => round({ store, agent, wish, log, left }, signal),
        () => wake.wait(realClock, choice.pause, signal),
        log,
        signal,
      ),
      // so that a new primary is found as soon as clients are led to it
      forever(
        () => store.watch("clusterdata", wake.ring, signal),
        () => realClock.sleep(choice.pause, signal),
        log,
        signal,
      ),
    ]
    await Promise.all(loops)
    return 0
  })

interface Round {
  readonly store: Store
  readonly agent: ConsulAgent
  readonly wish: Parameters<typeof registration>[1]
  readonly log: ComponentLog
  /** Whom the last round left out, and why; each is said once. */
  readonly left: Map<string, string>
}

async function round({ store, agent, wish, log, left }: Round, signal: AbortSignal): Promise<void> {
  const reading = await store.read(signal)
  if (reading.kind === "absent") return log.line("error", "there is no cluster data")
  const found = servicesNamed(wish.clusterName, await agent.ask(servicesRequest, signal))
  const { changes, skipped } = registration(reading.data, wish, found)
  for (const { id, why } of skipped)
    if (left.get(id) !== why) log.line("info", "left out", { id, why })
  left.clear()
  for (const { id, why } of skipped) left.set(id, why)
  for (const change of changes) {
    await agent.ask(requestOf(change), signal)
    log.line("info", ...said(change))
  }
}

const said = (change: Change): [string, Readonly<Record<string, string>>] => {
  if (change.kind === "deregister") return ["deregistered", { id: change.id }]
  const { id, address, port, tags } = change.service
  return ["registered", { id, address: `${address}:${port}`, tags: tags.join() }]
}
