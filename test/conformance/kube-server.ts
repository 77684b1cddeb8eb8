/**
 * A real Kubernetes API server for tests, RBAC switched on, with a real etcd behind it: no kubelet
 * and no controllers, so pods are objects that a test makes, and nobody ever runs in them. It can
 * be killed, frozen, thawed and restarted; everything that was started ends with the test process.
 *
 * Requests of the test itself go as an administrator. What is tested goes as a service account with
 * the rights that we ship.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Certificate, makeAuthority, makeCertificate } from "./certificates.ts"
import { type EtcdCluster, startEtcd } from "./etcd.ts"
import { type Account, accounts, rightsOf } from "./kube-rights.ts"
import { freePorts } from "./ports.ts"
import { serverOf } from "./server.ts"
import { until } from "./wait.ts"

const cache = process.env["STOLON_KUBE_CACHE"] ?? join(import.meta.dir, "../../.cache/kubernetes")
const program = join(cache, "kube-apiserver")
/** Null: it can be run. */
export const kubeMissing: string | null = existsSync(program)
  ? null
  : "kube-apiserver is not built here: make kube-apiserver"

export interface KubeServer extends AsyncDisposable {
  readonly port: number
  readonly namespace: string
  readonly directory: string
  readonly authority: Certificate
  readonly log: string
  /** Signed by the authority for clients' names. */
  client(name: string): Promise<Certificate>
  kill(): Promise<void>
  pause(): void
  resume(): void
  start(): void
  ready(): Promise<boolean>
  /** As administrator; throws unless it succeeds. */
  admin(method: string, path: string, body?: unknown): Promise<Json>
  /** What it counts of itself, as a page of Prometheus. */
  metrics(): Promise<string>
  /** A token of a service account that has the rights of one component. */
  token(account: Account): Promise<string>
  /** A kubeconfig for a token, or a client certificate; the file's path. */
  kubeconfig(
    identity: { readonly token: string } | { readonly tokenFile: string } | Certificate,
    port?: number,
    scheme?: "http" | "https",
  ): string
  /** Makes the object of a pod, as a StatefulSet would; returns its uid. */
  pod(name: string, cluster: string, component: "keeper" | "sentinel" | "proxy"): Promise<string>
}
// oxlint-disable-next-line typescript/no-explicit-any -- Kubernetes objects, looked into by tests
export type Json = any

export async function startKube(): Promise<KubeServer> {
  await using building = new AsyncDisposableStack()
  const directory = mkdtempSync(join(tmpdir(), "stolon-kube-"))
  building.defer(() => rmSync(directory, { recursive: true, force: true }))
  const etcd = building.use(await startEtcd())
  const authority = await makeAuthority(directory, "authority")
  const server = await makeCertificate(directory, "server", "IP:127.0.0.1", authority)
  const [port = 0] = await freePorts(1)
  const log = join(directory, "apiserver.log")
  writeFileSync(join(directory, "tokens.csv"), `${adminToken},admin,1,"system:masters"\n`)
  const command = commandOf({ directory, etcd, authority, server, port })
  const child = building.use(serverOf(command, log))
  child.start()
  const api = `https://127.0.0.1:${port}`
  const tls = { ca: await Bun.file(authority.cert).text() }
  const asked = (method: string, path: string, body?: unknown): Promise<Response> =>
    fetch(`${api}${path}`, {
      method,
      tls,
      headers: {
        authorization: `Bearer ${adminToken}`,
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    })
  const admin: KubeServer["admin"] = async (method, path, body) => {
    const response = await asked(method, path, body)
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return JSON.parse(text)
  }
  const ready = async (): Promise<boolean> => {
    const answer = await asked("GET", "/readyz").catch(() => null)
    return answer?.ok === true
  }
  let files = 0
  await until(`the API server (${log})`, ready, 120_000)
  await prepare(admin)
  const stack = building.move()
  return {
    port,
    namespace,
    directory,
    authority,
    log,
    client: (name) => makeCertificate(directory, name, "DNS:client", authority),
    kill: child.kill,
    pause: child.pause,
    resume: child.resume,
    start: child.start,
    ready,
    admin,
    metrics: async () => (await asked("GET", "/metrics")).text(),
    async token(account) {
      const path = `${core}/serviceaccounts/stolon-${account}/token`
      const made = await admin("POST", path, {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { expirationSeconds: 3600 },
      })
      return made.status.token
    },
    kubeconfig(identity, at = port, scheme = "https") {
      const file = join(directory, `kubeconfig-${++files}`)
      writeFileSync(file, kubeconfigText(authority, identity, `${scheme}://127.0.0.1:${at}`))
      return file
    },
    async pod(name, cluster, component) {
      const made = await admin("POST", `${core}/pods`, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name,
          labels: { component: `stolon-${component}`, "stolon-cluster": cluster },
        },
        spec: {
          serviceAccountName: `stolon-${component}`,
          containers: [{ name: "stolon", image: "stolon" }],
        },
      })
      return made.metadata.uid
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

export const namespace = "databases"
const core = `/api/v1/namespaces/${namespace}`
const adminToken = "0123456789abcdef-admin"

const kubeconfigText = (
  authority: Certificate,
  identity: Parameters<KubeServer["kubeconfig"]>[0],
  server: string,
): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [
      {
        name: "here",
        cluster: { server, "certificate-authority": authority.cert },
      },
    ],
    users: [
      {
        name: "me",
        user:
          "cert" in identity
            ? { "client-certificate": identity.cert, "client-key": identity.key }
            : identity,
      },
    ],
    contexts: [{ name: "test", context: { cluster: "here", user: "me", namespace } }],
  })

/** The namespace, and for each component an account, its role, and the binding of the two. */
async function prepare(admin: KubeServer["admin"]): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`
  await admin("POST", "/api/v1/namespaces", { metadata: { name: namespace } })
  for (const account of accounts) {
    const rules = rightsOf(account)
    const name = `stolon-${account}`
    await admin("POST", `${core}/serviceaccounts`, { metadata: { name } })
    await admin("POST", `${rbac}/roles`, { metadata: { name }, rules })
    await admin("POST", `${rbac}/rolebindings`, {
      metadata: { name },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
      subjects: [
        { kind: "ServiceAccount", name, namespace },
        { kind: "User", apiGroup: "rbac.authorization.k8s.io", name },
      ],
    })
  }
}

interface Plan {
  readonly directory: string
  readonly etcd: EtcdCluster
  readonly authority: Certificate
  readonly server: Certificate
  readonly port: number
}

const commandOf = ({ directory, etcd, authority, server, port }: Plan): readonly string[] => [
  ...["setpriv", "--pdeathsig", "KILL"], // a test run that is killed leaves nothing behind
  program,
  `--etcd-servers=${etcd.endpoints.join(",")}`,
  "--bind-address=127.0.0.1",
  "--advertise-address=127.0.0.1",
  `--secure-port=${port}`,
  "--insecure-port=0",
  `--cert-dir=${directory}`,
  `--tls-cert-file=${server.cert}`,
  `--tls-private-key-file=${server.key}`,
  `--client-ca-file=${authority.cert}`,
  "--service-account-issuer=https://stolon.test",
  `--service-account-signing-key-file=${authority.key}`,
  `--service-account-key-file=${authority.cert}`,
  `--token-auth-file=${join(directory, "tokens.csv")}`,
  "--authorization-mode=RBAC",
  "--service-cluster-ip-range=10.0.0.0/24",
  // tokens of pods are mounted by kubelets, and there is none
  "--disable-admission-plugins=ServiceAccount",
]
