/**
 * Who may talk to etcd: TLS with client certificates to an IP address, with every refusal there
 * must be, and user and password, also after a member forgot its tokens.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { StoreSettings } from "#port/store.ts"
import { type Certificate, makeAuthority, makeCertificate } from "./certificates.ts"
import { type EtcdCluster, startEtcd } from "./etcd.ts"
import { document, keeper, never, s, scene, settingsOf } from "./scene.ts"
import { timed, until } from "./wait.ts"

setDefaultTimeout(40_000)

describe("etcdv3 over TLS to an IP address", () => {
  let directory = ""
  let etcd: EtcdCluster
  let misnamed: EtcdCluster
  let authority: Certificate
  let client: Certificate
  let stranger: Certificate
  let otherAuthority: Certificate
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "stolon-tls-"))
    authority = await makeAuthority(directory, "authority")
    otherAuthority = await makeAuthority(directory, "other-authority")
    const server = await makeCertificate(
      directory,
      "server",
      "IP:127.0.0.1,DNS:localhost",
      authority,
    )
    const wrong = await makeCertificate(directory, "wrong", "IP:127.0.0.2,DNS:elsewhere", authority)
    client = await makeCertificate(directory, "client", "DNS:client", authority)
    stranger = await makeCertificate(directory, "stranger", "DNS:stranger", otherAuthority)
    const clientCa = authority.cert
    ;[etcd, misnamed] = await Promise.all([
      startEtcd({ tls: { ...server, clientCa } }),
      startEtcd({ tls: { ...wrong, clientCa } }),
    ])
  })
  afterAll(async () => {
    await etcd[Symbol.asyncDispose]()
    await misnamed[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  const tls = (
    own: Certificate | null,
    caFile: string,
    skipVerify = false,
  ): StoreSettings["tls"] => ({
    certFile: own?.cert ?? "",
    keyFile: own?.key ?? "",
    caFile,
    skipVerify,
  })
  const on = (
    endpoints: readonly string[],
    files: StoreSettings["tls"],
    timeout = 1200,
  ): ReturnType<typeof scene> =>
    scene((name) => ({ ...settingsOf("etcdv3", endpoints, name, millis(timeout)), tls: files }))
  const byName = (cluster: EtcdCluster): readonly string[] =>
    cluster.endpoints.map((url) => url.replace("127.0.0.1", "localhost"))

  test("works with the right certificates, by address and by name", async () => {
    for (const endpoints of [etcd.endpoints, byName(etcd)]) {
      await using here = on(endpoints, tls(client, authority.cert), 5000)
      const store = await here.store()
      const seen = await here.watch(store, "clusterdata")
      const before = seen.wakes
      const written = await store.write(document(), { kind: "absent" }, null, never)
      expect(written.kind).toBe("written")
      await until("a wake-up", () => seen.wakes > before)
      await store.publish(keeper("k1"), millis(5000), never)
    }
  })

  test("works without verification when that is asked for, whatever the server calls itself", async () => {
    for (const cluster of [etcd, misnamed]) {
      await using here = on(cluster.endpoints, tls(client, otherAuthority.cert, true), 5000)
      const store = await here.store()
      expect((await store.read(never)).kind).toBe("absent")
    }
  })

  test.concurrent.each([
    ["without a client certificate", () => on(etcd.endpoints, tls(null, authority.cert))],
    [
      "with a certificate without its key",
      () => on(etcd.endpoints, { ...tls(client, authority.cert), keyFile: "" }),
    ],
    [
      "with a client certificate of another authority",
      () => on(etcd.endpoints, tls(stranger, authority.cert)),
    ],
    [
      "when another authority signed the server's",
      () => on(etcd.endpoints, tls(client, otherAuthority.cert)),
    ],
    ["when only the system's authorities are trusted", () => on(etcd.endpoints, tls(client, ""))],
    [
      "when the server's certificate is for another address",
      () => on(misnamed.endpoints, tls(client, authority.cert)),
    ],
    [
      "when the server's certificate is for another name",
      () => on(byName(misnamed), tls(client, authority.cert)),
    ],
    [
      "when http meets https",
      () =>
        on(
          etcd.endpoints.map((url) => url.replace("https", "http")),
          tls(null, ""),
        ),
    ],
  ])("is refused %s", async (_, open) => {
    await using here = open()
    const store = await here.store()
    const { error, ms } = await timed(() => store.read(never))
    expect(error).toMatchObject({ code: "unavailable" })
    expect(ms).toBeLessThan(1600)
    const write = await timed(() => store.write(document(), { kind: "absent" }, null, never))
    expect(write.error).toMatchObject({ code: "unavailable" })
  })

  test("files that cannot be used are named at once", async () => {
    const empty = join(directory, "empty.pem")
    writeFileSync(empty, "nothing\n")
    const missing = join(directory, "missing.pem")
    for (const [files, text] of [
      [
        tls(null, missing),
        `cannot create kv store: cannot create store tls config: open ${missing}: no such file or directory`,
      ],
      [
        tls({ cert: missing, key: client.key }, authority.cert),
        `open ${missing}: no such file or directory`,
      ],
      [tls(null, empty), `${empty} contains no certificate`],
    ] as const) {
      await using here = on(etcd.endpoints, files)
      const { error } = await timed(() => here.store())
      expect(error).toMatchObject({ code: "invalid", message: expect.stringContaining(text) })
    }
  })
})

describe("etcdv3 with user and password", () => {
  let etcd: EtcdCluster
  beforeAll(async () => {
    etcd = await startEtcd()
    const user = (name: string, password: string): Promise<unknown> =>
      etcd.request("auth/user/add", { name, password })
    await user("root", "rootpw")
    await user("stolon", "secret")
    await user("nobody", "nothing")
    await etcd.request("auth/role/add", { name: "root" })
    await etcd.request("auth/role/add", { name: "stolon" })
    const key = btoa("stolon/")
    await etcd.request("auth/role/grant", {
      name: "stolon",
      perm: { permType: "READWRITE", key, range_end: btoa("stolon0") },
    })
    await etcd.request("auth/user/grant", { user: "root", role: "root" })
    await etcd.request("auth/user/grant", { user: "stolon", role: "stolon" })
    await etcd.request("auth/enable", {})
  })
  afterAll(() => etcd[Symbol.asyncDispose]())

  const as = (user: string, password: string): ReturnType<typeof scene> =>
    scene((name) => ({
      ...settingsOf("etcdv3", etcd.endpoints, name, millis(3000)),
      user,
      password,
    }))

  test.concurrent.each([
    ["a wrong password", () => as("stolon", "wrong")],
    ["an unknown user", () => as("who", "secret")],
    ["no user", () => as("", "")],
    ["a user without rights", () => as("nobody", "nothing")],
  ])("%s is denied, at once and not to be tried again", async (_, open) => {
    await using here = open()
    const store = await here.store()
    for (const call of [
      () => store.read(never),
      () => store.write(document(), { kind: "absent" }, null, never),
      () => store.publish(keeper("k1"), millis(5000), never),
    ]) {
      const { error, ms } = await timed<unknown>(call)
      expect(error).toMatchObject({ code: "denied", retryable: false })
      expect(ms).toBeLessThan(2000)
    }
  })

  test("everything works with rights on the store's prefix, also after the member forgot its tokens", async () => {
    await using here = as("stolon", "secret")
    const [store, other] = [await here.store(), await here.store()]
    const office = await store.campaign(s("s0"), never)
    const seen = await here.watch(store, "everything")
    const first = await store.write(document(), { kind: "absent" }, office, never)
    if (first.kind !== "written") throw new Error(first.kind)
    await store.publish(keeper("k1"), millis(20_000), never)
    const [member] = etcd.members
    await member?.kill()
    member?.start()
    await until("it to serve", () => member?.healthy())
    const expected = { kind: "version", version: first.version } as const
    expect((await store.write(document(), expected, office, never)).kind).toBe("written")
    await store.publish(keeper("k1", 2), millis(20_000), never)
    const before = seen.wakes
    await until("a wake-up by another client's publish", async () => {
      await other.publish(keeper("k2"), millis(20_000), never)
      return seen.wakes > before + 1
    })
    expect((await store.infos(never)).keepers.size).toBe(2)
    expect(office.signal.aborted).toBe(false)
    await office.resign(never)
  })
})
