/**
 * What `kubectl describe configmap` shows of elections: core Events, as Go's sentinels leave them.
 * A courtesy: without the right to it, or when the server is busy, nothing waits and nothing fails.
 * Also `stopped leading` arrives, which Go's never does (D-64): the reference to the object does
 * not depend on a request that succeeded.
 */
import { millis } from "#base/brand.ts"
import { type Kube, mergePatch } from "./kube-client.ts"
import { type Place, eventsPath, getMap, mapName } from "./kube-objects.ts"
import { recordTime } from "./kube-record.ts"

export interface Announcer {
  /** Never rejects. */
  say(what: "became leader" | "stopped leading"): Promise<void>
}

interface Said {
  readonly name: string
  readonly count: number
}
/** Per process and message: a second time counts up. */
const said = new Map<string, Said>()
const together = millis(2000)

export function announcerOf(kube: Kube, place: Place, uid: string): Announcer {
  return {
    async say(what) {
      // told even while the store is being closed, as long as that takes no time
      const signal = kube.clock.deadline(together, new AbortController().signal)
      const text = `${uid} ${what}`
      const key = `${place.namespace}/${place.clusterName} ${text}`
      const time = recordTime(kube.clock.now().wall)
      try {
        const before = said.get(key)
        const again =
          before !== undefined && (await countUp(kube, place, before, time, signal))
            ? { ...before, count: before.count + 1 }
            : await tell(kube, place, text, time, signal)
        said.set(key, again)
      } catch {
        // nobody waits for it
      }
    },
  }
}

async function countUp(
  kube: Kube,
  place: Place,
  { name, count }: Said,
  time: string,
  signal: AbortSignal,
): Promise<boolean> {
  const path = `${eventsPath(place)}/${encodeURIComponent(name)}`
  const body = { count: count + 1, lastTimestamp: time }
  const reply = await kube.once({ method: "PATCH", path, body, type: mergePatch }, signal)
  return reply.kind === "reply" && reply.status < 300
}

async function tell(
  kube: Kube,
  place: Place,
  text: string,
  time: string,
  signal: AbortSignal,
): Promise<Said> {
  const map = await getMap(kube, place, signal).catch(() => null)
  const name = `${mapName(place)}.${BigInt(Math.floor(Math.random() * 2 ** 52))
    .toString(16)
    .padStart(16, "0")}`
  const body = {
    kind: "Event",
    apiVersion: "v1",
    metadata: { name, namespace: place.namespace },
    involvedObject: {
      kind: "ConfigMap",
      namespace: place.namespace,
      name: mapName(place),
      apiVersion: "v1",
      ...(map === null
        ? {}
        : { uid: map.metadata.uid, resourceVersion: map.metadata.resourceVersion }),
    },
    reason: "LeaderElection",
    message: text,
    source: { component: "stolon-sentinel" },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    type: "Normal",
  }
  await kube.once({ method: "POST", path: eventsPath(place), body }, signal)
  return { name, count: 1 }
}
