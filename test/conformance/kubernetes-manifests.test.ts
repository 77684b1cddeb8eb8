/**
 * The manifests of `stolon generate kubernetes` before a real API server, as a server-side dry run:
 * each is accepted, and comes back with every field that was in it (one that the server does not
 * know it would drop without a word).
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { generateKubernetesCommand } from "#cli/generate.ts"
import { parse } from "#cli/parse.ts"
import { kubernetes } from "#ctl/generate-kubernetes.ts"
import { documentsOf } from "#test/unit/ctl/generated.ts"
import { type KubeServer, kubeMissing, namespace, startKube } from "./kube-server.ts"

const variants: readonly (readonly string[])[] = [
  [],
  ["--keepers=5", "--storage-class=fast", "--service-type=LoadBalancer"],
  ["--anti-affinity=preferred", "--image-pull-policy=Never", "--keeper-resources=memory=2Gi"],
  ["--store-backend=etcdv3", "--store-endpoints=http://etcd:2379", "--proxy-resources="],
]

/** The collection of a kind, as far as these manifests go. */
function collection(apiVersion: string, kind: string): string {
  const plural = `${kind.toLowerCase()}s`
  const root = apiVersion === "v1" ? "/api/v1" : `/apis/${apiVersion}`
  return `${root}/namespaces/${namespace}/${plural}`
}

if (kubeMissing !== null)
  test.skip(`manifests before an API server (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  beforeAll(async () => {
    server = await startKube()
  }, 180_000)
  afterAll(() => server[Symbol.asyncDispose](), 60_000)

  test.each(variants.map((argv) => [argv.join(" ") || "without flags", argv] as const))(
    "an API server accepts the manifests of stolon generate kubernetes %s",
    async (_, argv) => {
      // the server of the tests is older than policy/v1
      const fixed = ["--cluster-name=prod", `--namespace=${namespace}`, "--kubernetes-version=1.20"]
      const parsed = parse(generateKubernetesCommand, [...fixed, ...argv], {}, "stolon")
      if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
      const passwords = { superuser: "aa11", replication: "bb22" }
      const text = kubernetes({ ...parsed.values, image: "stolon:test" }, passwords)
      for (const document of documentsOf(text)) {
        const { apiVersion, kind, stringData: _secret, ...wanted } = document
        const path = `${collection(apiVersion, kind)}?dryRun=All&fieldManager=test`
        const answer = await server.admin("POST", path, document)
        expect(answer).toMatchObject({ ...wanted, kind })
      }
    },
    60_000,
  )
}
