/**
 * The choices behind `stolon generate kubernetes`, and what all of its objects have in common:
 * names that begin with the cluster's, and the labels by which the store finds components.
 */
import { when } from "./generate.ts"
import type { Yaml } from "./yaml.ts"

/** What was chosen. The names are those of the flags. */
export interface KubernetesChoice {
  readonly clusterName: string
  readonly namespace: string
  readonly storeBackend: "kubernetes" | "etcdv3"
  readonly storeEndpoints: readonly string[]
  readonly keepers: number
  readonly sentinels: number
  readonly proxies: number
  readonly image: string
  readonly imagePullPolicy: string
  readonly storageClass: string
  readonly storageSize: string
  readonly keeperResources: readonly string[]
  readonly sentinelResources: readonly string[]
  readonly proxyResources: readonly string[]
  readonly secret: string
  readonly port: string
  readonly readOnlyPort: string
  readonly serviceType: string
  readonly antiAffinity: "required" | "preferred"
  /** Milliseconds. */
  readonly stopTimeout: number
  readonly shutdownTimeout: number
  readonly kubernetesVersion: string
}

export type Component = "keeper" | "sentinel" | "proxy"
/** The labels by which the store finds components; Go stolon's. */
export const labels = (it: KubernetesChoice, component: Component): Readonly<Yaml & object> => ({
  component: `stolon-${component}`,
  "stolon-cluster": it.clusterName,
})

/** What every object begins with. */
export function object(
  it: KubernetesChoice,
  kind: readonly [apiVersion: string, kind: string],
  name: string,
): { readonly apiVersion: string; readonly kind: string; readonly metadata: Yaml } {
  return {
    apiVersion: kind[0],
    kind: kind[1],
    metadata: {
      name,
      ...when(it.namespace !== "", { namespace: it.namespace }),
      labels: { "stolon-cluster": it.clusterName },
    },
  }
}

export const secretName = (it: KubernetesChoice): string =>
  it.secret === "" ? `${it.clusterName}-passwords` : it.secret

/** One service account for each component, since each needs other rights. */
export const account = (it: KubernetesChoice, component: Component): Yaml =>
  object(it, ["v1", "ServiceAccount"], `${it.clusterName}-${component}`)
