/**
 * The manifests of `stolon generate kubernetes`: everything that a cluster needs in one namespace.
 *
 * What it must never do: write a password that was not asked for, begin a cluster by itself (a
 * sentinel with an initial specification would begin a second one over the databases of the first
 * when somebody deletes the ConfigMap), or let a probe end a keeper that is busy. Hence no probe of
 * liveness looks at PostgreSQL: a copy may take hours, and only the keeper's loop is watched.
 */
import { type Passwords, inside, when } from "./generate.ts"
import {
  type Component,
  type KubernetesChoice,
  labels,
  object,
  secretName,
} from "./generate-objects.ts"
import { keeperPod, proxyPod, sentinelPod } from "./generate-pods.ts"
import { rights } from "./generate-rights.ts"
import { type Document, type Yaml, comment, documents } from "./yaml.ts"

/** The whole stream. `passwords` null: the Secret is made by hand. */
export function kubernetes(it: KubernetesChoice, passwords: Passwords | null): string {
  const all: readonly Document[] = [
    ...(passwords === null ? [] : [{ about: [], value: secret(it, passwords) }]),
    ...rights(it),
    ...services(it),
    ...keepers(it),
    deployment(it, "sentinel", it.sentinels, sentinelPod(it)),
    budget(it, "sentinel"),
    deployment(it, "proxy", it.proxies, proxyPod(it)),
    budget(it, "proxy"),
  ]
  return `${comment(head(it, passwords))}${documents(all)}`
}

function head(it: KubernetesChoice, passwords: Passwords | null): readonly string[] {
  const space = it.namespace === "" ? "" : ` -n ${it.namespace}`
  const name = secretName(it)
  return [
    `A cluster of PostgreSQL, ${it.clusterName}: made by stolon generate kubernetes.`,
    "",
    ...(passwords !== null
      ? ["The passwords below were made for this output; whoever reads it has them."]
      : [
          "Before it, once, the passwords:",
          `  kubectl${space} create secret generic ${name} \\`,
          '    --from-literal=superuser="$(openssl rand -hex 24)" \\',
          '    --from-literal=replication="$(openssl rand -hex 24)"',
        ]),
    "After it, once, the cluster begins:",
    `  kubectl${space} exec -it deployment/${it.clusterName}-sentinel -- stolon ctl init`,
    "Then, whenever you want to know:",
    `  kubectl${space} exec deployment/${it.clusterName}-sentinel -- stolon ctl status`,
    `Clients: ${it.clusterName}:${it.port} leads to the primary, ${it.clusterName}-replicas:${it.port} to standbys.`,
  ]
}

function secret(it: KubernetesChoice, { superuser, replication }: Passwords): Yaml {
  return {
    ...object(it, ["v1", "Secret"], secretName(it)),
    type: "Opaque",
    stringData: { superuser, replication },
  }
}

function services(it: KubernetesChoice): readonly Document[] {
  const toProxy = (name: string, target: string): Yaml => ({
    ...object(it, ["v1", "Service"], name),
    spec: {
      type: it.serviceType,
      selector: labels(it, "proxy"),
      ports: [{ name: "postgres", port: Number(it.port), targetPort: target }],
    },
  })
  return [
    {
      about: ["Clients that write: through the proxies, to the primary and to nobody else."],
      value: toProxy(it.clusterName, "primary"),
    },
    {
      about: ["Clients that only read: through the proxies, to standbys."],
      value: toProxy(`${it.clusterName}-replicas`, "replicas"),
    },
    {
      about: ["Names for the keepers' pods, also of those that are not ready."],
      value: {
        ...object(it, ["v1", "Service"], `${it.clusterName}-keepers`),
        spec: {
          clusterIP: "None",
          publishNotReadyAddresses: true,
          selector: labels(it, "keeper"),
          ports: [
            { name: "postgres", port: inside.postgres },
            { name: "peers", port: inside.peers },
          ],
        },
      },
    },
  ]
}

function keepers(it: KubernetesChoice): readonly Document[] {
  const value = {
    ...object(it, ["apps/v1", "StatefulSet"], `${it.clusterName}-keeper`),
    spec: {
      serviceName: `${it.clusterName}-keepers`,
      replicas: it.keepers,
      podManagementPolicy: "Parallel",
      updateStrategy: { type: "RollingUpdate" },
      selector: { matchLabels: labels(it, "keeper") },
      template: keeperPod(it),
      volumeClaimTemplates: [
        {
          metadata: { name: "data", labels: labels(it, "keeper") },
          spec: {
            accessModes: ["ReadWriteOnce"],
            ...when(it.storageClass !== "", { storageClassName: it.storageClass }),
            resources: { requests: { storage: it.storageSize } },
          },
        },
      ],
    },
  }
  return [
    {
      about: [
        "Each keeper runs one PostgreSQL. They start side by side: who may be primary is the sentinels'",
        "business, not that of the order. An update goes on to the next pod when the one before is ready,",
        "which is when its PostgreSQL is as the cluster wants it.",
      ],
      value,
    },
    budget(it, "keeper"),
  ]
}

const deployment = (
  it: KubernetesChoice,
  component: "sentinel" | "proxy",
  replicas: number,
  template: Yaml,
): Document => ({
  about: [],
  value: {
    ...object(it, ["apps/v1", "Deployment"], `${it.clusterName}-${component}`),
    spec: {
      replicas,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 1 } },
      selector: { matchLabels: labels(it, component) },
      template,
    },
  },
})

/** Whoever drains nodes takes one at a time, and waits while one is not ready already. */
const budget = (it: KubernetesChoice, component: Component): Document => ({
  about: [],
  value: {
    ...object(it, [budgetVersion(it), "PodDisruptionBudget"], `${it.clusterName}-${component}`),
    spec: { maxUnavailable: 1, selector: { matchLabels: labels(it, component) } },
  },
})

/** `policy/v1` came with 1.21, `policy/v1beta1` went with 1.25. */
const budgetVersion = (it: KubernetesChoice): string =>
  Number(it.kubernetesVersion.split(".")[1]) < 21 ? "policy/v1beta1" : "policy/v1"
