/**
 * What every command checks of its store flags before it does anything, in Go's order (reference
 * 1.3), and the settings that come of it. The go dialect keeps Go's texts; ours name the flag and
 * the environment variable.
 */
import { nearest } from "#base/text.ts"
import type { Millis } from "#base/brand.ts"
import type { storeFlags } from "./common.ts"
import type { Dialect, Values } from "./flag.ts"

/** The store backends of this version. */
export const backends = ["consul", "etcdv2", "etcdv3", "kubernetes", "sqlite"] as const
export type Backend = (typeof backends)[number]
/** Go's other name of one. */
const alias = { name: "etcd", of: "etcdv2" } as const

/** Which cluster in which store; the same fields as the port's `StoreSettings`. */
export interface StoreChoice {
  readonly clusterName: string
  readonly backend: Backend
  readonly endpoints: readonly string[]
  readonly prefix: string
  readonly timeout: Millis
  readonly tls: {
    readonly certFile: string
    readonly keyFile: string
    readonly caFile: string
    readonly skipVerify: boolean
  }
  readonly user: string
  readonly password: string
  readonly kubernetes?: {
    readonly kubeconfig: string
    readonly context: string
    readonly namespace: string
    readonly podName: string | null
  }
}
export type StoreCheck =
  | { readonly kind: "store"; readonly store: StoreChoice }
  | { readonly kind: "refused"; readonly message: string }

const backendOf = (typed: string): Backend | null =>
  typed === alias.name ? alias.of : (backends.find((name) => name === typed) ?? null)

const listed = (word: string): string =>
  `${backends.slice(0, -1).join(", ")} ${word} ${backends.at(-1)}`
const refused = (message: string): StoreCheck => ({ kind: "refused", message })

/** Checks the common flags. */
export function checkStore(values: Values<typeof storeFlags>, dialect: Dialect): StoreCheck {
  const broken = dialect === "go" ? goRule(values) : ourRule(values)
  if (broken !== null) return refused(broken)
  if (dialect === "go" && values.storeBackend === "consul" && values.storeEndpoints.length > 1)
    return refused("cannot create kv store: consul does not support multiple endpoints")
  const backend = backendOf(values.storeBackend)
  if (backend === null) throw new Error(`${values.storeBackend} passed the rules`)
  return {
    kind: "store",
    store: {
      clusterName: values.clusterName,
      backend,
      endpoints: values.storeEndpoints,
      prefix: values.storePrefix,
      timeout: values.storeTimeout,
      tls: {
        certFile: values.storeCertFile,
        keyFile: values.storeKey,
        caFile: values.storeCaFile,
        skipVerify: values.storeSkipTlsVerify,
      },
      user: values.storeUser,
      password: values.storePassword,
      ...(backend === "kubernetes" && {
        kubernetes: { ...kubernetesFlags(values), podName: null },
      }),
    },
  }
}

/** The flags that only `ctl` has; others are told by their environment. */
function kubernetesFlags(values: object) {
  const said = new Map<string, unknown>(Object.entries(values))
  const text = (name: string): string => {
    const value = said.get(name)
    return typeof value === "string" ? value : ""
  }
  return {
    kubeconfig: text("kubeconfig"),
    context: text("kubeContext"),
    namespace: text("kubeNamespace"),
  }
}

/** For a component, which publishes in its own pod; an empty name is refused as the store opens. */
export const inPod = (
  store: StoreChoice,
  env: Readonly<Record<string, string | undefined>>,
): StoreChoice =>
  store.kubernetes === undefined
    ? store
    : { ...store, kubernetes: { ...store.kubernetes, podName: env["POD_NAME"] ?? "" } }

function goRule(values: Values<typeof storeFlags>): string | null {
  const { clusterName, storeBackend, kubeResourceKind } = values
  if (clusterName === "") return "cluster name required"
  if (storeBackend === "") return "store backend type required"
  if (storeBackend === "kubernetes") {
    if (kubeResourceKind === "") return "unspecified kubernetes resource kind"
    if (kubeResourceKind !== "configmap")
      return `wrong kubernetes resource kind: "${kubeResourceKind}"`
  }
  return backendOf(storeBackend) === null ? `Unknown store backend: "${storeBackend}"` : null
}

function ourRule(values: Values<typeof storeFlags>): string | null {
  const { clusterName, storeBackend, kubeResourceKind } = values
  if (clusterName === "")
    return "--cluster-name is required (or STOLON_CLUSTER_NAME): the name of the cluster"
  if (storeBackend === "")
    return `--store-backend is required (or STOLON_STORE_BACKEND): ${listed("or")}`
  if (storeBackend === "kubernetes" && !["", "configmap"].includes(kubeResourceKind))
    return `--kube-resource-kind "${kubeResourceKind}": expected configmap, the only kind there is`
  if (backendOf(storeBackend) !== null) return null
  const near = nearest(storeBackend, backends)
  const advice = near === null ? "" : `; did you mean ${near}?`
  return `--store-backend "${storeBackend}": expected ${listed("or")}${advice}`
}
