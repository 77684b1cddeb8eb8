/** Which API server is asked, and as whom: precedence, merging, what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type KubeConfig, type KubeFlags, kubeConfig } from "#store/kube-config.ts"

let directory: string
let account: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stolon-kubeconfig-"))
  account = join(directory, "account")
  mkdirSync(account)
  put("account/token", "first\n")
  put("account/ca.crt", "the authority")
  put("account/namespace", "here\n")
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function put(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}
const none: KubeFlags = { kubeconfig: "", context: "", namespace: "" }
const service = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" }
/** Nobody's home directory is looked into. */
const config = (flags: Partial<KubeFlags>, env: Record<string, string> = {}): KubeConfig =>
  kubeConfig({ ...none, ...flags }, { HOME: directory, ...env }, account)
const yaml = (server: string, rest = ""): string => `
apiVersion: v1
kind: Config
current-context: main
clusters:
- name: c
  cluster: {server: "${server}/", insecure-skip-tls-verify: true}
users:
- name: u
  user: {token: secret}
contexts:
- name: main
  context: {cluster: c, user: u, namespace: shop}
- name: bare
  context: {cluster: c}
${rest}`

describe("kubeConfig() in a pod", () => {
  test("asks the service with the account's files", () => {
    const found = config({}, service)
    expect(found).toMatchObject({
      server: "https://10.0.0.1:443",
      namespace: "here",
      tls: { ca: "the authority", rejectUnauthorized: true },
    })
  })

  test("reads the token for every request, since it is rotated", () => {
    const found = config({}, service)
    expect(found.authorization()).toBe("Bearer first")
    put("account/token", "second\n")
    expect(found.authorization()).toBe("Bearer second")
    put("account/token", "first\n")
  })

  test("takes POD_NAMESPACE before the account's namespace, and --kube-namespace before all", () => {
    const env = { ...service, POD_NAMESPACE: "told" }
    expect(config({}, env).namespace).toBe("told")
    expect(config({ namespace: "typed" }, env).namespace).toBe("typed")
  })

  test("writes an IPv6 address as URLs do", () => {
    const env = { ...service, KUBERNETES_SERVICE_HOST: "fd00::1" }
    expect(config({}, env).server).toBe("https://[fd00::1]:443")
  })

  test("gives way to a kubeconfig, and refuses a context that none has", () => {
    const file = put("in-pod", yaml("https://outside"))
    expect(config({}, { ...service, KUBECONFIG: file }).server).toBe("https://outside")
    expect(() => config({ context: "x" }, service)).toThrow('context "x" does not exist')
  })
})

describe("kubeConfig() of a file", () => {
  test("takes server, namespace and token of the current context", () => {
    const found = config({ kubeconfig: put("one", yaml("https://a:6443")) })
    expect(found).toMatchObject({
      server: "https://a:6443",
      namespace: "shop",
      tls: { rejectUnauthorized: false },
    })
    expect(found.authorization()).toBe("Bearer secret")
  })

  test("takes another context when it is asked to, without a user and a namespace", () => {
    const found = config({ kubeconfig: put("one", yaml("https://a")), context: "bare" })
    expect([found.namespace, found.authorization()]).toEqual(["default", null])
    expect(() => config({ kubeconfig: join(directory, "one"), context: "x" })).toThrow(
      'context "x" does not exist',
    )
  })

  test("finds certificates inside and beside the file", () => {
    put("client.pem", "certificate")
    const inside = Buffer.from("key").toString("base64")
    const file = put(
      "certificates",
      `current-context: k
contexts: [{name: k, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://a", certificate-authority: client.pem, tls-server-name: kubernetes}}]
users: [{name: u, user: {client-certificate: client.pem, client-key-data: ${inside}}}]
`,
    )
    expect(config({ kubeconfig: file }).tls).toEqual({
      ca: "certificate",
      cert: "certificate",
      key: "key",
      serverName: "kubernetes",
      rejectUnauthorized: true,
    })
  })

  test.each(["exec", "auth-provider"])(
    "refuses credentials from a program (%s), and says what to do",
    (kind) => {
      const file = put(
        "program",
        `current-context: k
contexts: [{name: k, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://a"}}]
users: [{name: u, user: {${kind}: {command: login}}}]
`,
      )
      expect(() => config({ kubeconfig: file })).toThrow(
        /user "u" of the kubeconfig gets its credentials from a program.*use a token/,
      )
    },
  )

  test("merges the files of KUBECONFIG, the first that says something wins; missing ones do not matter", () => {
    const first = put("first", "contexts: [{name: main, context: {cluster: c, namespace: mine}}]")
    const second = put("second", yaml("https://b"))
    const listed = [join(directory, "missing"), first, second].join(":")
    expect(config({}, { KUBECONFIG: listed })).toMatchObject({
      server: "https://b",
      namespace: "mine",
    })
  })

  test("refuses what is no kubeconfig, and a typed file that is missing, in Go's words", () => {
    expect(() => config({ kubeconfig: put("bad", "contexts: 7") })).toThrow(
      /^error loading config file ".*bad": /,
    )
    const missing = join(directory, "missing")
    expect(() => config({ kubeconfig: missing })).toThrow(
      `stat ${missing}: no such file or directory`,
    )
  })
})

test("kubeConfig() without anything asks where Go's programs ask", () => {
  expect(config({})).toMatchObject({ server: "http://localhost:8080", namespace: "default" })
  expect(config({ namespace: "n" }).namespace).toBe("n")
})
