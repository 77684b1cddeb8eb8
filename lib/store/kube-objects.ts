/**
 * The objects that a cluster is made of in Kubernetes, as Go stolon lays them out (reference 3.5):
 * one ConfigMap whose annotations hold the cluster data and the leader's record, and the pods, each
 * with its component's info in an annotation.
 *
 * Objects stay as the server sent them, with every field that we know nothing of: what is written
 * back differs in annotations only (D-90). Nothing here writes without the version it has read.
 */
import { createHash } from "node:crypto"
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import { StoreError, type Version } from "#port/store.ts"
import { type Kube, type KubeRequest, type Reply, refusal } from "./kube-client.ts"

export const dataAnnotation = "stolon-clusterdata"
export const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"
/** Ours: which write of the cluster data this was. */
export const markAnnotation = "stolon.io/write"
export const statusAnnotation = "stolon-status"
/** Ours: when the server's clock said that it was published, and for how long that is good. */
export const stampAnnotation = "stolon.io/published"
export const roleLabel = "stolon.io/role"

/** All annotations of an object together may not be larger. */
export const annotationsMax = 256 * 1024

export interface Place {
  readonly namespace: string
  readonly clusterName: string
}
export const mapName = ({ clusterName }: Place): string => `stolon-cluster-${clusterName}`
const space = ({ namespace }: Place): string =>
  `/api/v1/namespaces/${encodeURIComponent(namespace)}`
export const mapsPath = (place: Place): string => `${space(place)}/configmaps`
export const mapPath = (place: Place): string =>
  `${mapsPath(place)}/${encodeURIComponent(mapName(place))}`
export const podsPath = (place: Place): string => `${space(place)}/pods`
export const podPath = (place: Place, name: string): string =>
  `${podsPath(place)}/${encodeURIComponent(name)}`
export const eventsPath = (place: Place): string => `${space(place)}/events`

const texts = v.optional(v.nullable(v.record(v.string(), v.string())))
const Meta = v.looseObject({
  name: v.optional(v.string(), ""),
  namespace: v.optional(v.string()),
  uid: v.optional(v.string(), ""),
  resourceVersion: v.optional(v.string(), ""),
  creationTimestamp: v.optional(v.nullable(v.string())),
  deletionTimestamp: v.optional(v.nullable(v.string())),
  labels: texts,
  annotations: texts,
})
const KubeObject = v.looseObject({
  metadata: Meta,
  status: v.optional(v.nullable(v.looseObject({ phase: v.optional(v.string()) }))),
})
export type KubeObject = v.InferOutput<typeof KubeObject>
const List = v.looseObject({ items: v.nullable(v.array(KubeObject)) })

export const annotation = (object: KubeObject | null, name: string): string | null =>
  object?.metadata.annotations?.[name] ?? null
export const label = (object: KubeObject, name: string): string | null =>
  object.metadata.labels?.[name] ?? null

export function parseObject(body: unknown, what: string): KubeObject {
  const found = v.safeParse(KubeObject, body)
  if (found.success) return found.output
  throw new StoreError("malformed", `${what}: the answer is no Kubernetes object`)
}

/** Null: there is no such object. */
export function objectIn(request: KubeRequest, reply: Reply): KubeObject | null {
  if (reply.status === 404) return null
  if (reply.status >= 300) throw refusal(request, reply)
  return parseObject(reply.body, request.path)
}

export async function getMap(
  kube: Kube,
  place: Place,
  signal: AbortSignal,
  urgent = false,
): Promise<KubeObject | null> {
  const request = { method: "GET", path: mapPath(place), query: bound(kube), urgent } as const
  return objectIn(request, await kube.ask(request, signal))
}

/** The server gives up at the same time as we. */
export const bound = ({ timeout }: Kube): Readonly<Record<string, string>> => ({
  timeout: `${Math.max(1, Math.ceil(timeout / 1000))}s`,
})

export async function listPods(
  kube: Kube,
  place: Place,
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  const request = { method: "GET", path: podsPath(place), query: podSelector(place) } as const
  const reply = await kube.ask(request, signal)
  if (reply.status >= 300) throw refusal(request, reply)
  const found = v.safeParse(List, reply.body)
  if (!found.success) throw new StoreError("malformed", `${request.path}: no list of pods`)
  return found.output.items ?? []
}

export const podSelector = ({ clusterName }: Place): Readonly<Record<string, string>> => ({
  labelSelector: `component in (stolon-keeper,stolon-proxy,stolon-sentinel),stolon-cluster=${clusterName}`,
})

/** By content: the object's own version changes with every renewal of the leader's, too. */
export const versionOf = (text: string): Version =>
  createHash("sha256").update(text).digest("hex").slice(0, 32) as Version // minted by the backends

export type Annotations = Readonly<Record<string, string | null>>
/** How a change of the ConfigMap ended. */
export type Edited =
  | { readonly kind: "done"; readonly object: KubeObject }
  /** `change` wanted nothing. */
  | { readonly kind: "left" }
  | { readonly kind: "unknown"; readonly why: string }

interface EditOptions {
  readonly urgent: boolean
  /** Without it the ConfigMap must exist. */
  readonly create: boolean
}

/**
 * Changes annotations of the ConfigMap: reads it, asks `change`, writes it back under the version
 * that was read, and begins anew when somebody else was faster. Null from `change` leaves it. After
 * a lost race `change` may find what it wanted already there: an HTTP connection that broke may
 * have carried our own write.
 */
export async function editMap(
  kube: Kube,
  place: Place,
  { urgent, create }: EditOptions,
  change: (object: KubeObject | null, tries: number) => Annotations | null,
  signal: AbortSignal,
): Promise<Edited> {
  const end = kube.clock.now().mono + kube.timeout
  for (let tries = 0; ; tries++) {
    const object = await getMap(kube, place, signal, urgent)
    if (object === null && !create) return { kind: "left" }
    const wanted = change(object, tries)
    if (wanted === null) return { kind: "left" }
    const request = { ...writeOf(place, object, wanted), query: bound(kube), urgent }
    const reply = await kube.once(request, signal)
    if (reply.kind === "unknown") return reply
    if (reply.status < 300) return { kind: "done", object: parseObject(reply.body, request.path) }
    // somebody wrote, made or deleted it meanwhile
    const deleted = reply.status === 404 && object !== null
    if (reply.status !== 409 && !deleted) throw refusal(request, reply)
    if (kube.clock.now().mono > end)
      throw new StoreError("unavailable", `${request.path}: others write all the time`)
    await kube.clock.sleep(millis(5 + Math.random() * 20), signal)
  }
}

function writeOf(place: Place, object: KubeObject | null, wanted: Annotations): KubeRequest {
  const annotations = merged(object?.metadata.annotations ?? {}, wanted)
  refuseTooLarge(annotations)
  if (object === null)
    return {
      method: "POST",
      path: mapsPath(place),
      body: {
        kind: "ConfigMap",
        apiVersion: "v1",
        metadata: { name: mapName(place), namespace: place.namespace, annotations },
      },
    }
  return {
    method: "PUT",
    path: mapPath(place),
    body: { ...object, metadata: { ...object.metadata, annotations } },
  }
}

function merged(
  before: Readonly<Record<string, string>>,
  wanted: Annotations,
): Readonly<Record<string, string>> {
  const after = { ...before }
  for (const [name, text] of Object.entries(wanted))
    if (text === null) delete after[name]
    else after[name] = text
  return after
}

/** Bytes as the server counts them. */
export const sizeOf = (annotations: Readonly<Record<string, string>>): number =>
  Object.entries(annotations).reduce(
    (sum, [name, text]) => sum + Buffer.byteLength(name) + Buffer.byteLength(text),
    0,
  )

function refuseTooLarge(annotations: Readonly<Record<string, string>>): void {
  const size = sizeOf(annotations)
  if (size > annotationsMax)
    throw new StoreError(
      "denied",
      `the annotations of the ConfigMap would have ${size} bytes, Kubernetes allows ${annotationsMax}; ` +
        "pgHBA and pgParameters of the specification count once for the cluster and once for every DB",
    )
}
