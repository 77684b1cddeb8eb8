/**
 * The pods of `stolon generate kubernetes`: command lines, probes, volumes, where they may run and
 * how long they may take to end.
 *
 * A probe of liveness asks only whether the component's loop comes round, never for PostgreSQL, a
 * store or a primary: to start a component again helps none of these, and would break a copy off
 * that has run for hours. Readiness may say no for as long as it likes; it ends nothing.
 */
import { accounts, dataDir, flagWords, inside, volume, when } from "./generate.ts"
import { type Component, type KubernetesChoice, labels, secretName } from "./generate-objects.ts"
import type { Yaml } from "./yaml.ts"

type Fields = Readonly<Record<string, Yaml>>

/** Where passwords are mounted. */
const secrets = "/etc/stolon/passwords"
/** The user of our image. */
const user = 999
/** What the kubelet needs to hear that a pod ends while clients still come. */
const farewell = 5

const seconds = (ms: number): number => Math.ceil(ms / 1000)

export function keeperPod(it: KubernetesChoice): Yaml {
  const words = flagWords("keeper", {
    uid: "$(POD_NAME)",
    "data-dir": dataDir,
    "pg-listen-address": "$(POD_IP)",
    "pg-port": inside.postgres,
    "pg-su-username": accounts.superuser,
    "pg-su-passwordfile": `${secrets}/superuser`,
    "pg-repl-username": accounts.replication,
    "pg-repl-passwordfile": `${secrets}/replication`,
    "peer-listen-address": `:${inside.peers}`,
  })
  const container = {
    ...common(it, "keeper", words, it.keeperResources),
    ports: [
      { name: "postgres", containerPort: inside.postgres },
      { name: "peers", containerPort: inside.peers },
      metricsPort,
    ],
    // a minute until the loop has begun, then three minutes without a round; copies run beside it
    startupProbe: { ...probe("/healthz"), periodSeconds: 2, failureThreshold: 30 },
    livenessProbe: { ...probe("/healthz"), periodSeconds: 20, failureThreshold: 6 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 5, failureThreshold: 2 },
    volumeMounts: [
      { name: "data", mountPath: volume },
      { name: "passwords", mountPath: secrets, readOnly: true },
      { name: "shm", mountPath: "/dev/shm" },
    ],
  }
  return pod(it, "keeper", container, {
    terminationGracePeriodSeconds: seconds(it.stopTimeout),
    ...apart(it, "keeper", it.antiAffinity),
    volumes: [
      { name: "passwords", secret: { secretName: secretName(it), defaultMode: 0o440 } },
      // parallel queries share more memory than the 64 MiB that a container is given
      { name: "shm", emptyDir: { medium: "Memory", sizeLimit: "256Mi" } },
    ],
  })
}

export function sentinelPod(it: KubernetesChoice): Yaml {
  const words = flagWords("sentinel", { "peer-listen-address": `:${inside.peers}` })
  const container = {
    ...common(it, "sentinel", words, it.sentinelResources),
    ports: [{ name: "peers", containerPort: inside.peers }, metricsPort],
    livenessProbe: { ...probe("/healthz"), periodSeconds: 10, failureThreshold: 3 },
    readinessProbe: { ...probe("/healthz"), periodSeconds: 5 },
  }
  return pod(it, "sentinel", container, {
    terminationGracePeriodSeconds: 15,
    ...apart(it, "sentinel", "preferred"),
  })
}

/** It ends late enough for who sends clients to it to have heard, and its clients to be idle. */
export function proxyPod(it: KubernetesChoice): Yaml {
  const words = flagWords("proxy", {
    "listen-address": "0.0.0.0",
    port: it.port,
    "read-only-port": it.readOnlyPort,
    "shutdown-timeout": `${seconds(it.shutdownTimeout)}s`,
  })
  const container = {
    ...common(it, "proxy", words, it.proxyResources),
    ports: [
      { name: "primary", containerPort: Number(it.port) },
      { name: "replicas", containerPort: Number(it.readOnlyPort) },
      metricsPort,
    ],
    livenessProbe: { ...probe("/healthz"), periodSeconds: 10, failureThreshold: 3 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 2, failureThreshold: 1 },
    lifecycle: { preStop: { exec: { command: ["sleep", String(farewell)] } } },
  }
  return pod(it, "proxy", container, {
    terminationGracePeriodSeconds: farewell + seconds(it.shutdownTimeout) + 5,
    ...apart(it, "proxy", "preferred"),
  })
}

const metricsPort = { name: "metrics", containerPort: inside.metrics } as const
const probe = (path: string): Fields => ({
  httpGet: { path, port: "metrics" },
  timeoutSeconds: 3,
})

function common(
  it: KubernetesChoice,
  component: Component,
  args: readonly string[],
  given: readonly string[],
): Fields {
  return {
    name: component,
    image: it.image,
    ...when(it.imagePullPolicy !== "", { imagePullPolicy: it.imagePullPolicy }),
    args,
    env: environment(it),
    ...resources(given),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      // PostgreSQL's socket lies in /tmp; the others write nothing
      ...when(component !== "keeper", { readOnlyRootFilesystem: true }),
    },
  }
}

/** In the environment and not in flags, so that `stolon ctl` in a pod needs none either. */
const environment = (it: KubernetesChoice): Yaml => [
  { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
  { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
  { name: "STOLON_CLUSTER_NAME", value: it.clusterName },
  { name: "STOLON_STORE_BACKEND", value: it.storeBackend },
  ...(it.storeBackend === "kubernetes"
    ? [{ name: "STOLON_KUBE_RESOURCE_KIND", value: "configmap" }]
    : [{ name: "STOLON_STORE_ENDPOINTS", value: it.storeEndpoints.join(",") }]),
  { name: "STOLON_METRICS_LISTEN_ADDRESS", value: `:${inside.metrics}` },
]

/**
 * Requests; of memory the limit, too, so that nobody else's hunger ends PostgreSQL. No limit of
 * CPU: a keeper that is throttled renews its lease late.
 */
function resources(given: readonly string[]): Fields {
  const requests = Object.fromEntries(given.map((word) => word.split("=", 2)))
  const memory = requests["memory"]
  if (given.length === 0) return {}
  return { resources: { requests, ...when(memory !== undefined, { limits: { memory } }) } }
}

function pod(it: KubernetesChoice, component: Component, container: Fields, more: Fields): Yaml {
  return {
    metadata: { labels: labels(it, component) },
    spec: {
      serviceAccountName: `${it.clusterName}-${component}`,
      ...when(it.storeBackend !== "kubernetes", { automountServiceAccountToken: false }),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: user,
        runAsGroup: user,
        fsGroup: user,
        // otherwise each start would open a data directory that PostgreSQL wants private
        fsGroupChangePolicy: "OnRootMismatch",
        seccompProfile: { type: "RuntimeDefault" },
      },
      ...more,
      containers: [container],
    },
  }
}

/** On different machines, and spread over zones where there are any. */
function apart(it: KubernetesChoice, component: Component, how: "required" | "preferred"): Fields {
  const labelSelector = { matchLabels: labels(it, component) }
  const machine = { labelSelector, topologyKey: "kubernetes.io/hostname" }
  const podAntiAffinity: Fields =
    how === "required"
      ? { requiredDuringSchedulingIgnoredDuringExecution: [machine] }
      : {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 100, podAffinityTerm: machine },
          ],
        }
  return {
    affinity: { podAntiAffinity },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "topology.kubernetes.io/zone",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector,
      },
    ],
  }
}
