/**
 * Who may talk to Consul: a token with the rights that the documentation names, and with fewer,
 * from the environment or a file; TLS with client certificates.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { openConsul } from "#store/consul.ts"
import { storeOver } from "#store/store.ts"
import { realClock } from "#system/clock.ts"
import { makeAuthority, makeCertificate } from "./certificates.ts"
import { consulMissing, startConsul } from "./consul.ts"
import { document, keeper, never, s, settingsOf } from "./scene.ts"
import { timed } from "./wait.ts"

const root = "3f6e6d1c-0000-4000-8000-000000000001"
/** As `docs/stores.md` has them. */
const rights = `
key_prefix "stolon/cluster/prod/" { policy = "write" }
session_prefix "" { policy = "write" }
`

type Environment = Parameters<typeof openConsul>[2]
const opened = (settings: StoreSettings, env: Environment): Store =>
  storeOver(openConsul(settings, realClock, env), settings)

/** Everything that a component does. */
async function works(store: Store): Promise<void> {
  expect((await store.write(document(), { kind: "anything" }, null, never)).kind).toBe("written")
  await store.publish(keeper("k1"), millis(20_000), never)
  expect((await store.infos(never)).keepers.size).toBe(1)
  const office = await store.campaign(s("s1"), never)
  const written = await store.write(document(), { kind: "anything" }, office, never)
  expect(written.kind).toBe("written")
  await office.resign(never)
  await store.withdraw({ kind: "keeper", uid: keeper("k1").info.uid }, never)
}

if (consulMissing !== null) test.skip(`access to Consul (skipped: ${consulMissing})`, () => {})
else {
  test("a token needs the rights that are documented, and no more", async () => {
    const acl = { enabled: true, default_policy: "deny", tokens: { master: root } }
    await using consul = await startConsul({ config: { acl }, token: root })
    const [server] = consul.servers
    const tokenOf = async (name: string, rules: string): Promise<string> => {
      await server?.request("PUT", "acl/policy", { Name: name, Rules: rules })
      const made = await server?.request("PUT", "acl/token", { Policies: [{ Name: name }] })
      return JSON.parse(made ?? "{}").SecretID
    }
    const settings = settingsOf("consul", consul.endpoints, "prod", millis(2_000))
    const token = await tokenOf("enough", rights)
    const directory = mkdtempSync(join(tmpdir(), "stolon-token-"))
    try {
      const file = join(directory, "token")
      writeFileSync(file, `${token}\n`)
      const ways = [{ CONSUL_HTTP_TOKEN: token }, { CONSUL_HTTP_TOKEN_FILE: file }]
      for (const env of ways) {
        await using store = opened(settings, env)
        await works(store)
      }
      const wrong = { CONSUL_HTTP_TOKEN_FILE: join(directory, "nowhere") }
      expect(() => opened(settings, wrong)).toThrow("CONSUL_HTTP_TOKEN_FILE")
    } finally {
      rmSync(directory, { recursive: true })
    }
    const others = [
      ["", "nobody"],
      [await tokenOf("reads", 'key_prefix "stolon/" { policy = "read" }'), "one who only reads"],
      ["3f6e6d1c-0000-4000-8000-00000000000f", "a token that does not exist"],
    ] as const
    for (const [other, who] of others) {
      await using store = opened(settings, { CONSUL_HTTP_TOKEN: other })
      const write = await timed(() => store.write(document(), { kind: "anything" }, null, never))
      expect([who, write.error]).toMatchObject([who, { code: "denied" }])
      const publish = await timed(() => store.publish(keeper("k1"), millis(20_000), never))
      expect([who, publish.error]).toMatchObject([who, { code: "denied" }])
    }
  }, 60_000)

  test("TLS: the server is verified, and wants a certificate of its authority", async () => {
    const directory = mkdtempSync(join(tmpdir(), "stolon-tls-"))
    try {
      const authority = await makeAuthority(directory, "authority")
      const other = await makeAuthority(directory, "other")
      const server = await makeCertificate(directory, "server", "IP:127.0.0.1", authority)
      const client = await makeCertificate(directory, "client", "DNS:client", authority)
      const tls = { cert: server.cert, key: server.key, ca: authority.cert }
      await using consul = await startConsul({ tls })
      const settings = settingsOf("consul", consul.endpoints, "prod", millis(1_500))
      const files = { certFile: client.cert, keyFile: client.key, caFile: authority.cert }
      const fine = { ...settings, tls: { ...files, skipVerify: false } }
      await using store = opened(fine, {})
      await works(store)
      const wrong = [
        { ...files, caFile: other.cert, skipVerify: false },
        { certFile: "", keyFile: "", caFile: authority.cert, skipVerify: false },
      ]
      for (const each of wrong) {
        await using refused = opened({ ...settings, tls: each }, {})
        expect((await timed(() => refused.read(never))).error).toMatchObject({
          code: "unavailable",
        })
      }
      const blind = { ...settings, tls: { ...files, caFile: other.cert, skipVerify: true } }
      await using careless = opened(blind, {})
      expect((await careless.read(never)).kind).toBe("found")
    } finally {
      rmSync(directory, { recursive: true })
    }
  }, 60_000)
}
