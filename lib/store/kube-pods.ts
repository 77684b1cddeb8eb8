/**
 * Infos in the annotations of pods: publishing ours, listing everybody's, and the labels that name
 * a keeper's role for Services.
 *
 * Publishing writes our own pod only. Labels are the leader's, who takes the old primary's away
 * before it gives the new one's, so that a Service never selects two; nobody relies on them for
 * who may write.
 */
import * as v from "valibot"
import type { Millis } from "#base/brand.ts"
import { by, byText } from "#base/order.ts"
import { type Publisher, type Role, StoreError } from "#port/store.ts"
import type { Able } from "./kube-able.ts"
import { type Kube, type KubeRequest, mergePatch, refusal } from "./kube-client.ts"
import { type Freshness, freshness, stampText } from "./kube-fresh.ts"
import {
  type KubeObject,
  type Place,
  annotation,
  bound,
  label,
  listPods,
  parseObject,
  podPath,
  roleLabel,
  stampAnnotation,
  statusAnnotation,
} from "./kube-objects.ts"

type Component = Publisher["kind"]
/** A pod whose info counts. */
export interface Voice {
  readonly component: Component
  readonly pod: KubeObject
  readonly status: string
}

export interface Pods {
  readonly fresh: Freshness
  publish(status: string, ttl: Millis, signal: AbortSignal): Promise<void>
  withdraw(signal: AbortSignal): Promise<void>
  /** By component and name of the pod. */
  voices(signal: AbortSignal): Promise<readonly Voice[]>
  /** Brings the labels of the keepers seen at the last look to what `roles` says. */
  label(
    roles: ReadonlyMap<string, Role>,
    allowed: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<void>
}

export function podsOf(kube: Kube, place: Place, own: string | null, able: Able): Pods {
  const fresh = freshness()
  let last: ReadonlyMap<string, KubeObject> = new Map()

  async function patchOwn(
    annotations: Readonly<Record<string, string | null>>,
    signal: AbortSignal,
  ): Promise<void> {
    const request = patchOf(place, ownName(own), { annotations }, kube)
    const reply = await kube.ask(request, signal)
    able.heard("publish", reply.status >= 300)
    if (reply.status === 404)
      throw new StoreError("unavailable", `there is no pod ${own}; is POD_NAME right?`)
    if (reply.status >= 300) throw refusal(request, reply)
  }

  return {
    fresh,
    publish: (status, ttl, signal) =>
      patchOwn(
        {
          [statusAnnotation]: status,
          [stampAnnotation]: stampText(status, ttl, kube.serverNow()),
        },
        signal,
      ),
    withdraw: (signal) =>
      patchOwn({ [statusAnnotation]: null, [stampAnnotation]: null }, signal).catch(
        (error: unknown) => {
          const gone = error instanceof StoreError && error.message.startsWith("there is no pod")
          if (!gone) throw error
        },
      ),
    async voices(signal) {
      const pods = await listed(kube, place, able, signal)
      const now = kube.clock.now().mono
      for (const pod of last.values()) if (!isIn(pods, pod)) fresh.forget(pod)
      for (const pod of pods) fresh.note(pod, now)
      last = new Map(pods.map((pod) => [pod.metadata.name, pod]))
      return voicesIn(pods, fresh, now, kube.serverNow())
    },
    async label(roles, allowed, signal) {
      const now = kube.clock.now().mono
      const heard = voicesIn([...last.values()], fresh, now, kube.serverNow())
      const speakers = new Map(
        heard.flatMap(({ component, pod, status }) =>
          component === "keeper" ? [[pod.metadata.name, uidIn(status)] as const] : [],
        ),
      )
      const wanted = (pod: KubeObject): Role | null =>
        roles.get(speakers.get(pod.metadata.name) ?? "") ?? null
      const wrong = [...last.values()]
        .filter((pod) => componentOf(pod) === "keeper" && label(pod, roleLabel) !== wanted(pod))
        .toSorted(by((pod) => `${rank(pod)} ${pod.metadata.name}`, byText))
      // asked for the few changes only: who was replaced does not speak for the cluster
      if (wrong.length === 0 || !(await allowed())) return
      for (const pod of wrong) {
        const changed = await setLabel(kube, place, pod, wanted(pod), signal)
        if (changed !== null) last = new Map([...last, [pod.metadata.name, changed]])
      }
    },
  }
}

/** Who is primary no longer, first. */
const rank = (pod: KubeObject): string => (label(pod, roleLabel) === "primary" ? "0" : "1")

function ownName(own: string | null): string {
  if (own === null || own === "") throw missingPodName()
  return own
}
/** In Go's words. */
export const missingPodName = (): StoreError =>
  new StoreError("invalid", `missing required env variable "POD_NAME"`)

const patchOf = (place: Place, pod: string, metadata: object, kube: Kube): KubeRequest => ({
  method: "PATCH",
  path: podPath(place, pod),
  query: bound(kube),
  body: { metadata },
  type: mergePatch,
})

/** Null: the pod has gone, or another one has its name; the next look tells. */
async function setLabel(
  kube: Kube,
  place: Place,
  pod: KubeObject,
  role: Role | null,
  signal: AbortSignal,
): Promise<KubeObject | null> {
  const { name, uid } = pod.metadata
  const request = patchOf(place, name, { uid, labels: { [roleLabel]: role } }, kube)
  const reply = await kube.ask(request, signal)
  if (reply.status === 404 || reply.status === 409) return null
  if (reply.status >= 300) throw refusal(request, reply)
  return parseObject(reply.body, request.path)
}

async function listed(
  kube: Kube,
  place: Place,
  able: Able,
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  try {
    const pods = await listPods(kube, place, signal)
    able.heard("list", false)
    return pods
  } catch (error) {
    if (error instanceof StoreError && error.code === "denied") able.heard("list", true)
    throw error
  }
}

const isIn = (pods: readonly KubeObject[], pod: KubeObject): boolean =>
  pods.some(({ metadata }) => metadata.uid === pod.metadata.uid)

/** Pods without an info are nobody yet, and sentinels among them no blank lines (D-64). */
function voicesIn(
  pods: readonly KubeObject[],
  fresh: Freshness,
  now: Millis,
  server: number | null,
): readonly Voice[] {
  const best = new Map<string, Voice>()
  for (const pod of pods) {
    const component = componentOf(pod)
    const status = annotation(pod, statusAnnotation) ?? ""
    if (component === null || status === "" || !fresh.counts(pod, now, server)) continue
    const uid = uidIn(status)
    const key = `${component} ${uid === "" ? `of ${pod.metadata.name}` : uid}`
    const other = best.get(key)
    if (other === undefined || fresh.compare(pod, other.pod) < 0)
      best.set(key, { component, pod, status })
  }
  return [...best.values()].toSorted(by(({ pod }) => pod.metadata.name, byText))
}

const components: Readonly<Record<string, Component>> = {
  "stolon-keeper": "keeper",
  "stolon-sentinel": "sentinel",
  "stolon-proxy": "proxy",
}
const componentOf = (pod: KubeObject): Component | null => {
  const name = label(pod, "component") ?? ""
  return Object.hasOwn(components, name) ? (components[name] ?? null) : null
}

const Named = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ uid: v.optional(v.string()), UID: v.optional(v.string()) }),
)
/** Empty: the text names nobody, which whoever decodes it reports. */
function uidIn(status: string): string {
  const found = v.safeParse(Named, status)
  return found.success ? (found.output.uid ?? found.output.UID ?? "") : ""
}
