/**
 * The store in Kubernetes: a ConfigMap and the annotations of pods, as Go stolon lays them out
 * (reference 3.5), so that its components and ours share a cluster. No custom resources, no client
 * library: the API server's HTTP interface and nothing else.
 *
 * A write of the cluster data compares what was read and, for a leader, who leads, in the very
 * object that it writes (D-87); it is sent once and ends as `unknown` when its answer is lost (W5).
 * It must never touch a field of an object that it does not know, nor a pod's specification.
 */
import { randomBytes } from "node:crypto"
import { never } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { type Expected, StoreError, type StoreSettings, type Written } from "#port/store.ts"
import { keysOf } from "./keys.ts"
import type { Entry, KeyValue } from "./keyvalue.ts"
import { ableOf } from "./kube-able.ts"
import { type Kube, kubeClient } from "./kube-client.ts"
import { kubeConfig } from "./kube-config.ts"
import { campaign, holder, stands, unseat } from "./kube-election.ts"
import { refuseGrowth } from "./kube-growth.ts"
import { limit } from "./kube-limit.ts"
import {
  type Place,
  annotation,
  dataAnnotation,
  editMap,
  getMap,
  markAnnotation,
  versionOf,
} from "./kube-objects.ts"
import { type Pods, type Voice, missingPodName, podsOf } from "./kube-pods.ts"
import { watchData, watchPods, watchRecord } from "./kube-follow.ts"
import { linked } from "./scope.ts"

type Environment = Readonly<Record<string, string | undefined>>

/** Never talks to the server itself: the first request does. */
export function openKubernetes(
  settings: StoreSettings,
  clock: Clock,
  env: Environment = process.env,
): KeyValue {
  const flags = settings.kubernetes ?? { kubeconfig: "", context: "", namespace: "", podName: null }
  if (flags.podName === "") throw missingPodName()
  const config = kubeConfig(flags, env)
  const place: Place = { namespace: config.namespace, clusterName: settings.clusterName }
  const closing = new AbortController()
  const { timeout } = settings
  const kube = kubeClient({
    config,
    clock,
    timeout,
    limit: limit(clock),
    closed: closing.signal,
    agent: "stolon",
  })
  const able = ableOf(kube, place, flags.podName, clock)
  const pods = podsOf(kube, place, flags.podName, able)
  const keys = keysOf(settings.prefix, settings.clusterName)
  const folders = { keeper: keys.keepers, sentinel: keys.sentinels, proxy: keys.proxies } as const
  const entryOf = ({ component, pod, status }: Voice): Entry => ({
    key: `${folders[component]}/${pod.metadata.name}`,
    value: status,
    version: versionOf(status),
    created: 0n,
  })
  const onlyData = (key: string): void => {
    if (key !== keys.clusterData)
      throw new StoreError("invalid", `Kubernetes has no place for ${key}`)
  }

  return {
    async get(key, signal) {
      onlyData(key)
      const value = annotation(await getMap(kube, place, signal), dataAnnotation)
      return value === null ? null : { key, value, version: versionOf(value), created: 0n }
    },
    async list(prefixes, signal) {
      const entries = (await pods.voices(signal)).map(entryOf)
      return prefixes.map((prefix) => entries.filter(({ key }) => key.startsWith(prefix)))
    },
    async swap(key, value, expected, guard, signal) {
      onlyData(key)
      if (guard === null) refuseGrowth(value)
      return swap(kube, place, value, expected, guard, signal)
    },
    put: (_key, value, ttl, signal) => pods.publish(value, ttl, signal),
    async remove(key, signal) {
      if (key !== keys.clusterData) return pods.withdraw(signal)
      const edited = await editMap(
        kube,
        place,
        { urgent: false, create: false },
        (object) =>
          annotation(object, dataAnnotation) === null
            ? null
            : { [dataAnnotation]: null, [markAnnotation]: null },
        signal,
      )
      if (edited.kind === "unknown") throw new StoreError("unavailable", edited.why)
    },
    async watch(prefixes, changed, signal) {
      if (signal.aborted) return
      const scope = new AbortController()
      const releases = [linked(scope, signal), linked(scope, closing.signal)]
      const infos = prefixes.some((prefix) => prefix !== keys.clusterData)
      await Promise.all([
        watchData(kube, place, changed, scope.signal),
        ...(infos ? [watchPods(kube, place, pods.fresh, changed, scope.signal)] : []),
      ])
      for (const release of releases) release()
    },
    leader: (_prefix, signal) => holder({ kube, place }, signal),
    unseat: (_prefix, value, signal) => unseat({ kube, place }, value, signal),
    campaign: (_prefix, value, signal) =>
      campaign(
        { kube, place, able, watch: (changed, own) => watchRecord(kube, place, changed, own) },
        value,
        signal,
      ),
    announce: (roles, guard, signal) => announce(kube, place, pods, roles, guard, signal),
    async [Symbol.asyncDispose]() {
      if (closing.signal.aborted) return
      closing.abort(new StoreError("unavailable", "the store is closed"))
    },
  }
}

async function announce(
  kube: Kube,
  place: Place,
  pods: Pods,
  roles: Parameters<Pods["label"]>[0],
  guard: string,
  signal: AbortSignal,
): Promise<void> {
  const leads = async (): Promise<boolean> => stands(await getMap(kube, place, signal), guard)
  await pods.label(roles, leads, signal)
}

/**
 * An HTTP connection that breaks may carry one write twice; the mark tells the second time that the
 * first one was ours. Go's components leave it standing.
 */
async function swap(
  kube: Kube,
  place: Place,
  value: string,
  expected: Expected,
  guard: string | null,
  signal: AbortSignal,
): Promise<Written> {
  const mark = randomBytes(8).toString("hex")
  let already = false
  const edited = await editMap(
    kube,
    place,
    { urgent: guard !== null, create: guard === null },
    (object, tries) => {
      const now = annotation(object, dataAnnotation)
      already = tries > 0 && now === value && annotation(object, markAnnotation) === mark
      if (already || (guard !== null && !stands(object, guard))) return null
      return isExpected(now, expected) ? { [dataAnnotation]: value, [markAnnotation]: mark } : null
    },
    signal,
  )
  if (edited.kind === "unknown") return edited
  return edited.kind === "done" || already
    ? { kind: "written", version: versionOf(value) }
    : { kind: "conflict" }
}

function isExpected(now: string | null, expected: Expected): boolean {
  switch (expected.kind) {
    case "anything":
      return true
    case "absent":
      return now === null
    case "version":
      return now !== null && versionOf(now) === expected.version
    default:
      return never(expected)
  }
}
