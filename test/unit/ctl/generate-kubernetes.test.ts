/**
 * Invariants of the manifests: what stands in one object fits what stands in the others and what
 * our executable does. That an API server accepts them is tested where one is at hand.
 */
import { describe, expect, test } from "bun:test"
import type { Values } from "#cli/flag.ts"
import { generateKubernetesCommand } from "#cli/generate.ts"
import type { kubernetesFlags } from "#cli/generate-flags.ts"
import { parse } from "#cli/parse.ts"
import { kubernetes } from "#ctl/generate-kubernetes.ts"
import { keeperPages } from "#cmd/keeper-metrics.ts"
import { pagesOf } from "#cmd/proxy-show.ts"
import { type Parsed, documentsOf, told } from "./generated.ts"

function choice(...argv: readonly string[]): Values<typeof kubernetesFlags> {
  const parsed = parse(generateKubernetesCommand, ["--cluster-name=prod", ...argv], {}, "stolon")
  if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
  return { ...parsed.values, image: parsed.values.image || "stolon:test" }
}
const text = (...argv: readonly string[]): string => kubernetes(choice(...argv), null)
const made = (...argv: readonly string[]): readonly Parsed[] => documentsOf(text(...argv))
const one = (all: readonly Parsed[], kind: string, name: string): Parsed => {
  const found = all.filter((it) => it.kind === kind && it.metadata.name === name)
  expect(found).toHaveLength(1)
  return found[0]
}
const templates = (all: readonly Parsed[]): readonly Parsed[] =>
  all.flatMap((it) => (it.spec?.template === undefined ? [] : [it.spec.template]))
const containers = (all: readonly Parsed[]): readonly Parsed[] =>
  templates(all).flatMap((it) => it.spec.containers)

/** The environment as the kubelet makes it, and `$(NAME)` in arguments replaced as it does. */
function started(container: Parsed): ReturnType<typeof told> {
  const known: Readonly<Record<string, string>> = { POD_NAME: "prod-keeper-0", POD_IP: "10.1.2.3" }
  const env: Record<string, string> = {}
  for (const { name, value } of container.env) env[name] = value ?? known[name]
  const args: readonly string[] = container.args
  return told(
    args.map((word) => word.replace(/\$\((\w+)\)/g, (_, name: string) => env[name] ?? "missing")),
    env,
  )
}

const variants: readonly (readonly string[])[] = [
  [],
  [
    "--namespace=databases",
    "--keepers=5",
    "--sentinels=3",
    "--proxies=4",
    "--image=r.example:5000/s:1",
  ],
  ["--port=6000", "--read-only-port=6001", "--service-type=LoadBalancer", "--keeper-resources="],
  ["--store-backend=etcdv3", "--store-endpoints=http://e1:2379,http://e2:2379"],
  [
    "--storage-class=fast",
    "--storage-size=2Ti",
    "--anti-affinity=preferred",
    "--kubernetes-version=1.20",
  ],
]

const named = variants.map((argv) => [argv.join(" ") || "without flags", argv] as const)
describe.each(named)("kubernetes() %s", (_, argv) => {
  const all = made(...argv)
  const it = choice(...argv)

  test("every command line and every variable of ours is one that our parser knows", () => {
    for (const container of containers(all)) {
      const { component, sources } = started(container)
      expect(component).toBe(container.name)
      for (const { name } of container.env)
        if (name.startsWith("ST")) expect(sources).toContain(name)
    }
  })

  test("probes ask pages that the component has, on the port where it serves them", () => {
    const never = (): never => {
      throw new Error("nobody asked")
    }
    const pages: Readonly<Record<string, readonly string[]>> = {
      keeper: ["/healthz", ...Object.keys(keeperPages(never, never))],
      sentinel: ["/healthz"],
      proxy: ["/healthz", ...Object.keys(pagesOf(never))],
    }
    for (const container of containers(all)) {
      const { values } = started(container)
      const ports = new Map(container.ports.map((port: Parsed) => [port.name, port.containerPort]))
      for (const probe of ["livenessProbe", "readinessProbe"]) {
        const { path, port } = container[probe].httpGet
        expect(pages[container.name]).toContain(path)
        expect(values["metricsListenAddress"]).toBe(`:${String(ports.get(port))}`)
      }
      // a store or a primary that is away is no reason to start anything again
      expect(container.livenessProbe.httpGet.path).toBe("/healthz")
    }
  })

  test("named ports are those on which the component listens, and Services lead to them", () => {
    const proxy = containers(all).find(({ name }) => name === "proxy")
    const { values } = started(proxy)
    expect([values["port"], values["readOnlyPort"]]).toEqual([it.port, it.readOnlyPort])
    const ports = new Map(proxy.ports.map((port: Parsed) => [port.name, port.containerPort]))
    for (const [name, flag] of [
      ["prod", "port"],
      ["prod-replicas", "readOnlyPort"],
    ] as const) {
      const { spec } = one(all, "Service", name)
      expect(spec.type).toBe(it.serviceType)
      expect(String(ports.get(spec.ports[0].targetPort))).toBe(String(values[flag]))
      expect(spec.selector).toEqual({ component: "stolon-proxy", "stolon-cluster": "prod" })
    }
    const keeper = containers(all).find(({ name }) => name === "keeper")
    const told5432 = started(keeper).values["pgPort"]
    expect(keeper.ports[0]).toEqual({ name: "postgres", containerPort: Number(told5432) })
  })

  test("selectors select the pods of their own template, and nothing of another component", () => {
    for (const { spec } of all.filter(({ spec: s }) => s?.template !== undefined)) {
      expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels)
      for (const spread of spec.template.spec.topologySpreadConstraints)
        expect(spread.labelSelector).toEqual(spec.selector)
    }
    const budgets = all.filter(({ kind }) => kind === "PodDisruptionBudget")
    expect(budgets.map(({ spec }) => spec.selector.matchLabels.component)).toEqual([
      "stolon-keeper",
      "stolon-sentinel",
      "stolon-proxy",
    ])
    const version = it.kubernetesVersion === "1.20" ? "policy/v1beta1" : "policy/v1"
    for (const budget of budgets)
      expect([budget.apiVersion, budget.spec.maxUnavailable]).toEqual([version, 1])
  })

  test("every object has the namespace or none, and every name that one refers to exists", () => {
    for (const object of all)
      expect(object.metadata.namespace).toBe(it.namespace === "" ? undefined : it.namespace)
    for (const template of templates(all))
      one(all, "ServiceAccount", template.spec.serviceAccountName)
    for (const { roleRef, subjects } of all.filter(({ kind }) => kind === "RoleBinding")) {
      one(all, "Role", roleRef.name)
      for (const { name } of subjects) one(all, "ServiceAccount", name)
    }
    one(all, "Service", one(all, "StatefulSet", "prod-keeper").spec.serviceName)
  })

  test("counts, image, volume and store are those of the flags", () => {
    const set = one(all, "StatefulSet", "prod-keeper").spec
    const replicas = ["sentinel", "proxy"].map(
      (name) => one(all, "Deployment", `prod-${name}`).spec.replicas,
    )
    expect([set.replicas, ...replicas]).toEqual([it.keepers, it.sentinels, it.proxies])
    const [claim] = set.volumeClaimTemplates
    expect(claim.spec.resources.requests.storage).toBe(it.storageSize)
    expect(claim.spec.storageClassName ?? "").toBe(it.storageClass)
    for (const container of containers(all)) {
      const { values } = started(container)
      expect(container.image).toBe(it.image)
      expect(values["storeBackend"]).toBe(it.storeBackend)
      expect(values["storeEndpoints"]).toEqual(it.storeEndpoints)
    }
  })

  test("a keeper's data lie below its volume, its passwords where the Secret is mounted", () => {
    const { spec } = one(all, "StatefulSet", "prod-keeper").spec.template
    const { values } = started(spec.containers[0])
    const place = (name: string): string =>
      spec.containers[0].volumeMounts.find((mount: Parsed) => mount.name === name).mountPath
    expect(values["dataDir"]).toStartWith(`${place("data")}/`)
    for (const [flag, key] of [
      ["pgSuPasswordfile", "superuser"],
      ["pgReplPasswordfile", "replication"],
    ] as const)
      expect(values[flag]).toBe(`${place("passwords")}/${key}`)
    const { secret } = spec.volumes.find((it2: Parsed) => it2.name === "passwords")
    expect(secret.secretName).toBe("prod-passwords")
    // what PostgreSQL's user may read by its group; looser modes make the keeper warn
    expect(secret.defaultMode).toBe(0o440)
  })

  test("pods are what the restricted Pod Security Standard demands", () => {
    for (const { spec } of templates(all)) {
      expect(spec.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      })
      for (const { securityContext } of spec.containers)
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        })
    }
  })
})

describe("kubernetes()", () => {
  test("a keeper is given minutes without a round of its loop, and time to stop", () => {
    const { spec } = one(made("--stop-timeout=90s"), "StatefulSet", "prod-keeper").spec.template
    const { livenessProbe, startupProbe } = spec.containers[0]
    // `/healthz` of a keeper says no after a minute of its own
    expect(livenessProbe.periodSeconds * livenessProbe.failureThreshold).toBeGreaterThanOrEqual(120)
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThanOrEqual(60)
    expect(spec.terminationGracePeriodSeconds).toBe(90)
  })

  test("a proxy is killed only after its sessions had their time", () => {
    const { spec } = one(made("--shutdown-timeout=45s"), "Deployment", "prod-proxy").spec.template
    const [container] = spec.containers
    const pause = Number(container.lifecycle.preStop.exec.command[1])
    expect(started(container).values["shutdownTimeout"]).toBe(45_000)
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(pause + 45)
  })

  test("keepers never share a node, unless asked", () => {
    const affinity = (...argv: readonly string[]): readonly string[] =>
      Object.keys(
        one(made(...argv), "StatefulSet", "prod-keeper").spec.template.spec.affinity
          .podAntiAffinity,
      )
    expect(affinity()).toEqual(["requiredDuringSchedulingIgnoredDuringExecution"])
    expect(affinity("--anti-affinity=preferred")).toEqual([
      "preferredDuringSchedulingIgnoredDuringExecution",
    ])
  })

  test("rights are those that were found to be needed, and no verb beside them", () => {
    const rights = (component: string): unknown =>
      one(made(), "Role", `prod-${component}`).rules.map((rule: Parsed) =>
        [...rule.resources, ...(rule.resourceNames ?? []), ":", ...rule.verbs].join(" "),
      )
    const follower = ["configmaps stolon-cluster-prod : get watch", "pods : get list patch"]
    expect(rights("keeper")).toEqual(follower)
    expect(rights("proxy")).toEqual(follower)
    expect(rights("sentinel")).toEqual([
      "configmaps stolon-cluster-prod : get watch update",
      "configmaps : create",
      "pods : get list watch patch",
      "events : create patch",
    ])
  })

  test("with an etcd nobody gets rights or a token", () => {
    const all = made("--store-backend=etcdv3", "--store-endpoints=http://e:2379")
    expect(all.filter(({ kind }) => kind === "Role" || kind === "RoleBinding")).toEqual([])
    for (const { spec } of templates(all)) expect(spec.automountServiceAccountToken).toBe(false)
  })

  test("no password is printed unless asked, and nothing begins a cluster by itself", () => {
    expect(made().filter(({ kind }) => kind === "Secret")).toEqual([])
    expect(text()).not.toContain("initial-cluster-spec")
    const asked = documentsOf(kubernetes(choice(), { superuser: "aa11", replication: "bb22" }))
    expect(one(asked, "Secret", "prod-passwords").stringData).toEqual({
      superuser: "aa11",
      replication: "bb22",
    })
    expect(JSON.stringify(asked).match(/aa11/g)).toHaveLength(1)
  })

  test("the same flags give the same bytes", () => {
    expect(text("--keepers=5")).toBe(text("--keepers=5"))
  })
})
