/**
 * One test's cluster on a real API server: stores opened as the component that a test names, in a
 * pod that is made for it, and the objects as an administrator sees them.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import type { KeyValue } from "#store/keyvalue.ts"
import { openKeyValue, openStore } from "#store/open.ts"
import type { Account } from "./kube-rights.ts"
import type { Json, KubeServer } from "./kube-server.ts"
import { never, settingsOf } from "./scene.ts"

export interface KubeCluster extends AsyncDisposable {
  readonly name: string
  /** Where keys of the other backends would begin. */
  readonly base: string
  settings(account: Account, options?: Options): Promise<StoreSettings>
  store(account: Account, options?: Options): Promise<Store>
  raw(account: Account, options?: Options): Promise<KeyValue>
  /** Makes a pod and returns its name; `status` is put into its annotation as Go would. */
  pod(component: "keeper" | "sentinel" | "proxy", name: string, status?: string): Promise<string>
  /** The ConfigMap as it is; null: there is none. */
  map(): Promise<Json>
  annotate(annotations: Readonly<Record<string, string | null>>): Promise<void>
  /** A kubeconfig of somebody without any right. */
  stranger(): Promise<string>
  /** A merge patch of the ConfigMap. */
  edit(body: object): Promise<void>
  removeMap(): Promise<void>
  setPhase(pod: string, phase: "Failed" | "Running"): Promise<void>
  podObject(name: string): Promise<Json>
  patchPod(name: string, body: object): Promise<void>
  deletePod(name: string): Promise<void>
}
interface Options {
  readonly pod?: string
  /** Of a relay to the server. */
  readonly port?: number
  readonly timeout?: Millis
}

let clusters = 0
const status = "stolon-status"

export function kubeCluster(server: KubeServer): KubeCluster {
  const name = `t${process.pid}-${++clusters}`
  const stack = new AsyncDisposableStack()
  const space = `/api/v1/namespaces/${server.namespace}`
  const mapPath = `${space}/configmaps/stolon-cluster-${name}`
  const settings: KubeCluster["settings"] = async (account, options = {}) => ({
    ...settingsOf("kubernetes", [], name, options.timeout ?? millis(5000)),
    kubernetes: {
      kubeconfig: server.kubeconfig({ token: await server.token(account) }, options.port),
      context: "",
      namespace: "",
      podName: options.pod ?? null,
    },
  })
  const patch = (path: string, body: object): Promise<Json> => server.admin("PATCH", path, body)
  return {
    name,
    base: `stolon/cluster/${name}`,
    settings,
    store: async (account, options) => stack.use(await openStore(await settings(account, options))),
    raw: async (account, options) =>
      stack.use(await openKeyValue(await settings(account, options), never)),
    async pod(component, suffix, text) {
      const pod = `${name}-${suffix}`
      await server.pod(pod, name, component)
      if (text !== undefined)
        await patch(`${space}/pods/${pod}`, { metadata: { annotations: { [status]: text } } })
      return pod
    },
    map: () => server.admin("GET", mapPath).catch(() => null),
    async annotate(annotations) {
      const body = { metadata: { name: `stolon-cluster-${name}`, annotations } }
      await patch(mapPath, body).catch(() => server.admin("POST", `${space}/configmaps`, body))
    },
    stranger: async () => server.kubeconfig(await server.client("stranger")),
    async edit(body) {
      await patch(mapPath, body)
    },
    async removeMap() {
      await server.admin("DELETE", mapPath)
    },
    async setPhase(pod, phase) {
      await patch(`${space}/pods/${pod}/status`, { status: { phase } })
    },
    podObject: (pod) => server.admin("GET", `${space}/pods/${pod}`),
    async patchPod(pod, body) {
      await patch(`${space}/pods/${pod}`, body)
    },
    async deletePod(pod) {
      await server.admin("DELETE", `${space}/pods/${pod}`, { gracePeriodSeconds: 0 })
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
