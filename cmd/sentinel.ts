/**
 * `stolon sentinel`: wires the sentinel's loop to the store. An initial specification is checked
 * before anything else (reference 1.5), so that a slip in it is seen at the start and not when the
 * cluster is needed.
 */
import { readFile } from "node:fs/promises"
import { noPeers } from "#agent/no-peers.ts"
import { type SentinelState, runSentinel } from "#agent/sentinel.ts"
import type { Dialect } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { sentinelCommand } from "#cli/sentinel.ts"
import { checkStore, inPod } from "#cli/store.ts"
import { broken, parseSpec } from "#ctl/spec.ts"
import { goPanicExit } from "#model/go-error.ts"
import { sentinelUID } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { peers } from "#peer/ask.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { fileTrouble } from "#system/errno.ts"
import { isShutdown, onShutdown } from "#system/signals.ts"
import { begin, warn } from "./front.ts"
import { addressTowards, openEndpoint } from "./peers.ts"
import { type Metric, counting, gauge, identifier } from "./metrics.ts"
import { beginTrouble, metricsServed, refuse, serveMetrics, serviceLog } from "./service.ts"
import { supervised } from "./supervised.ts"

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(sentinelCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const { values, changed } = begun
  const checked = checkStore(values, invocation.dialect)
  if (checked.kind === "refused") return refuse(invocation, checked.message)

  const log = serviceLog("sentinel", values, changed, invocation)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => log.flush(500))
  const uid = sentinelUID(realChance.uid())
  log.line("info", "sentinel uid", { uid })
  const initial = await initialSpec(values.initialClusterSpec, invocation.dialect)
  if (initial.kind === "refused") {
    await log.flush(500)
    if (initial.exit === goPanicExit) await warn(`${initial.message}\n`)
    else await refuse(invocation, initial.message)
    return initial.exit
  }
  const shutdown = stack.use(onShutdown())
  try {
    const events = counting(log)
    let state: SentinelState = { leader: false, elections: 0, lastCheck: null }
    const metrics = (): readonly Metric[] => [
      identifier(values.clusterName, "sentinel"),
      ...sentinelMetrics(state),
      events.metric(),
    ]
    const listen = (): void => serveMetrics(stack, values.metricsListenAddress, metrics, () => [])
    if (!metricsServed(log, invocation.dialect, listen)) return 0
    supervised(stack, () => [])
    const store = stack.use(await openStore(inPod(checked.store, invocation.env), shutdown.signal))
    const endpoint = stack.use(
      await openEndpoint({
        typed: values.peerListenAddress,
        dialect: invocation.dialect,
        advertise: () => addressTowards(checked.store),
        password: "",
      }),
    )
    const asking = endpoint.address === "" ? noPeers : peers({ password: "" })
    await runSentinel(
      {
        store,
        peers: asking,
        endpoint,
        clock: realClock,
        chance: realChance,
        log: events,
      },
      {
        uid,
        initialSpec: initial.spec,
        report: (now) => {
          state = now
        },
      },
      shutdown.signal,
    )
    return 0
  } catch (error) {
    await log.flush(500)
    if (isShutdown(error)) return 0
    return await refuse(invocation, beginTrouble(invocation, "sentinel", error))
  }
}

type Initial =
  | { readonly kind: "fine"; readonly spec: Spec | null }
  | { readonly kind: "refused"; readonly message: string; readonly exit: number }

async function initialSpec(file: string, dialect: Dialect): Promise<Initial> {
  if (file === "") return { kind: "fine", spec: null }
  const go = dialect === "go"
  const refused = (goText: string, why: string): Initial => ({
    kind: "refused",
    message: go ? `cannot create sentinel: ${goText}: ${why}` : `--initial-cluster-spec: ${why}`,
    exit: 1,
  })
  let source: string
  try {
    source = await readFile(file, "utf8")
  } catch (error) {
    const why = fileTrouble("open", file, error)
    return refused("cannot read provided initial cluster config file", why)
  }
  const manner = go ? "go" : "strict"
  const parsed = parseSpec(source, manner)
  if (parsed.kind === "refused") {
    const { message, exit = 1 } = parsed
    if (exit === goPanicExit) return { kind: "refused", message, exit }
    const why = message.replace(/^failed to unmarshal cluster spec: /, "")
    return refused("cannot parse provided initial cluster config", why)
  }
  const rule = broken(parsed.spec, manner)
  return rule === null
    ? { kind: "fine", spec: parsed.spec }
    : refused("invalid initial cluster", rule)
}

export const sentinelMetrics = (state: SentinelState): readonly Metric[] => [
  gauge(
    "stolon_sentinel_last_cluster_check_success_seconds",
    "Last time the cluster check was completed as leader, unix time",
    state.lastCheck === null ? 0 : Date.parse(state.lastCheck) / 1000,
  ),
  gauge("stolon_sentinel_is_leader", "1 while this sentinel leads", state.leader ? 1 : 0),
  gauge("stolon_sentinel_leader_count", "How often this sentinel was elected", state.elections),
]
