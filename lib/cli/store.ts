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
export const backends = ["etcdv3", "sqlite"] as const
export type Backend = (typeof backends)[number]
/** Backends of Go stolon that this version lacks. */
const missing: readonly string[] = ["consul", "kubernetes", "etcd", "etcdv2"]

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
}
export type StoreCheck =
  | { readonly kind: "store"; readonly store: StoreChoice }
  | { readonly kind: "refused"; readonly message: string }

const refused = (message: string): StoreCheck => ({ kind: "refused", message })

/** Checks the common flags. */
export function checkStore(values: Values<typeof storeFlags>, dialect: Dialect): StoreCheck {
  const broken = dialect === "go" ? goRule(values) : ourRule(values)
  if (broken !== null) return refused(broken)
  if (dialect === "go" && values.storeBackend === "consul" && values.storeEndpoints.length > 1)
    return refused("cannot create kv store: consul does not support multiple endpoints")
  const backend = backends.find((name) => name === values.storeBackend)
  if (backend === undefined)
    return refused(
      `store backend "${values.storeBackend}" is not in this version; it has ${backends.join(" and ")}`,
    )
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
    },
  }
}

function goRule(values: Values<typeof storeFlags>): string | null {
  const { clusterName, storeBackend, kubeResourceKind } = values
  if (clusterName === "") return "cluster name required"
  if (storeBackend === "") return "store backend type required"
  if (storeBackend === "kubernetes") {
    if (kubeResourceKind === "") return "unspecified kubernetes resource kind"
    if (kubeResourceKind !== "configmap")
      return `wrong kubernetes resource kind: "${kubeResourceKind}"`
  }
  return [...backends, ...missing].includes(storeBackend)
    ? null
    : `Unknown store backend: "${storeBackend}"`
}

function ourRule(values: Values<typeof storeFlags>): string | null {
  const { clusterName, storeBackend } = values
  if (clusterName === "")
    return "--cluster-name is required (or STOLON_CLUSTER_NAME): the name of the cluster"
  if (storeBackend === "")
    return `--store-backend is required (or STOLON_STORE_BACKEND): ${backends.join(" or ")}`
  if ([...backends, ...missing].includes(storeBackend)) return null
  const near = nearest(storeBackend, backends)
  const advice = near === null ? "" : `; did you mean ${near}?`
  return `--store-backend "${storeBackend}": expected ${backends.join(" or ")}${advice}`
}
