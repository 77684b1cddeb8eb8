/**
 * `stolon sentinel`: wires the sentinel's loop to the store. An initial specification is checked
 * before anything else (reference 1.5), so that a slip in it is seen at the start and not when the
 * cluster is needed.
 */
import { readFile } from "node:fs/promises"
import { type SentinelState, runSentinel } from "#agent/sentinel.ts"
import type { Invocation } from "#cli/invocation.ts"
import { sentinelCommand } from "#cli/sentinel.ts"
import { checkStore } from "#cli/store.ts"
import { decode } from "#model/codec.ts"
import { sentinelUID } from "#model/ids.ts"
import { Spec } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { onShutdown } from "#system/signals.ts"
import { begin } from "./front.ts"
import { type Metric, counting, gauge, identifier } from "./metrics.ts"
import { refuse, serveMetrics, serviceLog, text } from "./service.ts"

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(sentinelCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const { values, changed } = begun
  const initial = await initialSpec(values.initialClusterSpec)
  if (initial.kind === "refused")
    return refuse(invocation, `cannot create sentinel: ${initial.message}`)
  const checked = checkStore(values, invocation.dialect)
  if (checked.kind === "refused") return refuse(invocation, checked.message)

  const log = serviceLog("sentinel", values, changed)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => log.flush(500))
  const shutdown = stack.use(onShutdown())
  try {
    const events = counting(log)
    let state: SentinelState = { leader: false, elections: 0, lastCheck: null }
    const metrics = (): readonly Metric[] => [
      identifier(values.clusterName, "sentinel"),
      ...sentinelMetrics(state),
      events.metric(),
    ]
    serveMetrics(stack, values.metricsListenAddress, metrics, () => [])
    const store = stack.use(await openStore(checked.store, shutdown.signal))
    await runSentinel(
      { store, clock: realClock, chance: realChance, log: events },
      {
        uid: sentinelUID(realChance.uid()),
        initialSpec: initial.spec,
        report: (now) => {
          state = now
        },
      },
      shutdown.signal,
    )
    return 0
  } catch (error) {
    return await refuse(invocation, text(error))
  }
}

type Initial =
  | { readonly kind: "fine"; readonly spec: Spec | null }
  | { readonly kind: "refused"; readonly message: string }

async function initialSpec(file: string): Promise<Initial> {
  if (file === "") return { kind: "fine", spec: null }
  const refused = (what: string, error: unknown): Initial => ({
    kind: "refused",
    message: `${what}: ${text(error)}`,
  })
  let source: string
  try {
    source = await readFile(file, "utf8")
  } catch (error) {
    return refused("cannot read provided initial cluster config file", error)
  }
  try {
    const spec = decode(Spec, source)
    const rule = validate(spec)
    return rule === null ? { kind: "fine", spec } : refused("invalid initial cluster", rule)
  } catch (error) {
    return refused("cannot parse provided initial cluster config", error)
  }
}

const sentinelMetrics = (state: SentinelState): readonly Metric[] => [
  gauge(
    "stolon_sentinel_last_cluster_check_success_seconds",
    "Last time the cluster check was completed as leader, unix time",
    state.lastCheck === null ? 0 : Date.parse(state.lastCheck) / 1000,
  ),
  gauge("stolon_sentinel_is_leader", "1 while this sentinel leads", state.leader ? 1 : 0),
  gauge("stolon_sentinel_leader_count", "How often this sentinel was elected", state.elections),
]
