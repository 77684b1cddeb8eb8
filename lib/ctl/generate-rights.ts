/**
 * Accounts and rights of `stolon generate kubernetes`: what each component asks the API server for,
 * and nothing beside it. With another store the components ask it for nothing and get no token.
 *
 * `create` cannot be bound to a name, and keepers' pods come and go with the number of keepers, so
 * those two stand open within the namespace; cluster data of other clusters do not.
 */
import { type Component, type KubernetesChoice, account, object } from "./generate-objects.ts"
import type { Document, Yaml } from "./yaml.ts"

export function rights(it: KubernetesChoice): readonly Document[] {
  const accounts = components.map((component) => ({ about: [], value: account(it, component) }))
  if (it.storeBackend !== "kubernetes") return accounts
  return [...accounts, ...components.flatMap((component) => role(it, component))]
}
const components: readonly Component[] = ["keeper", "sentinel", "proxy"]

const why: Readonly<Record<Component, readonly string[]>> = {
  keeper: [
    "A keeper reads the cluster data, tells of itself in its pod, and asks others by theirs.",
  ],
  sentinel: [
    "The leading sentinel writes the cluster data and labels keepers' pods with stolon.io/role. Its",
    "rights are also enough for stolon ctl in its pod.",
  ],
  proxy: [
    "A proxy reads the cluster data, tells of itself in its pod, and finds standbys by theirs.",
  ],
}

function role(it: KubernetesChoice, component: Component): readonly Document[] {
  const name = `${it.clusterName}-${component}`
  const api = "rbac.authorization.k8s.io"
  return [
    {
      about: why[component],
      value: { ...object(it, [`${api}/v1`, "Role"], name), rules: rules(it, component) },
    },
    {
      about: [],
      value: {
        ...object(it, [`${api}/v1`, "RoleBinding"], name),
        roleRef: { apiGroup: api, kind: "Role", name },
        subjects: [{ kind: "ServiceAccount", name }],
      },
    },
  ]
}

function rules(it: KubernetesChoice, component: Component): Yaml {
  const core = [""]
  const data = {
    apiGroups: core,
    resources: ["configmaps"],
    resourceNames: [`stolon-cluster-${it.clusterName}`],
  }
  if (component !== "sentinel")
    return [
      { ...data, verbs: ["get", "watch"] },
      { apiGroups: core, resources: ["pods"], verbs: ["get", "list", "patch"] },
    ]
  return [
    { ...data, verbs: ["get", "watch", "update"] },
    { apiGroups: core, resources: ["configmaps"], verbs: ["create"] },
    { apiGroups: core, resources: ["pods"], verbs: ["get", "list", "watch", "patch"] },
    { apiGroups: core, resources: ["events"], verbs: ["create", "patch"] },
  ]
}
