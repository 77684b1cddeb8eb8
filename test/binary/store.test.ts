/**
 * The traps of a compiled program that talks to a store, each sprung once: everything here works
 * from source, so only the executable, alone in an empty directory, tells.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { StoreSettings } from "#port/store.ts"
import { build } from "../../scripts/build.ts"
import manifest from "../../package.json"
import { type Certificate, makeAuthority, makeCertificate } from "#test/conformance/certificates.ts"
import { type EtcdCluster, startEtcd } from "#test/conformance/etcd.ts"
import { settingsOf } from "#test/conformance/scene.ts"
import { until } from "#test/conformance/wait.ts"
import { startWire } from "#test/conformance/wire.ts"
import { obstacle, runHidden } from "./hidden.ts"

setDefaultTimeout(120_000)

const title = "the executable, alone in an empty directory"
describe.skipIf(obstacle !== null)(
  obstacle === null ? title : `${title} (skipped: ${obstacle})`,
  () => {
    let directory = ""
    let empty = ""
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), "stolon-binary-"))
      empty = join(directory, "empty")
      mkdirSync(empty)
      const outfile = join(directory, "built")
      await build({ outfile, entry: join(import.meta.dir, "probe.ts") })
      copyFileSync(outfile, join(empty, "probe"))
    })
    afterAll(() => rmSync(directory, { recursive: true, force: true }))

    const probe = async (...words: readonly string[]): Promise<unknown> => {
      const ran = await runHidden(empty, ["./probe", ...words])
      expect(ran.stderr).toBe("")
      return JSON.parse(ran.stdout)
    }
    const onStore = (settings: StoreSettings): Promise<unknown> =>
      probe("store", JSON.stringify(settings))
    const everything = { written: "written", read: "found", infos: 1, leader: "5e1f7e57" }

    test("knows its version and commit", async () => {
      expect(await probe("version")).toEqual({
        version: manifest.version,
        commit: expect.stringMatching(/^([0-9a-f]{7,}|unknown)$/),
      })
    })

    test("uses sqlite", async () => {
      const file = join(empty, "store.db")
      expect(await onStore(settingsOf("sqlite", [file], "c"))).toEqual(everything)
    })

    test("obeys no .env and no bunfig.toml of the directory that it is started in", async () => {
      const trap = join(directory, "trap")
      mkdirSync(trap)
      writeFileSync(join(trap, ".env"), "TRAP=sprung\n")
      writeFileSync(join(trap, "bunfig.toml"), 'preload = ["./evil.ts"]\n')
      writeFileSync(join(trap, "evil.ts"), "globalThis.trapped = true\n")
      const ran = await runHidden(trap, [join(empty, "probe"), "surroundings"])
      expect(ran).toEqual({ code: 0, stdout: `{"trap":null,"preloaded":false}\n`, stderr: "" })
    })

    describe("with etcd", () => {
      let etcd: EtcdCluster
      beforeAll(async () => {
        etcd = await startEtcd({ members: 3 })
      })
      afterAll(() => etcd[Symbol.asyncDispose]())

      test("carries etcd's protocol file in itself", async () => {
        expect(await onStore(settingsOf("etcdv3", etcd.endpoints, "c"))).toEqual(everything)
      })

      test("keeps deadlines on an endpoint that swallows everything", async () => {
        await using wire = await startWire(etcd.members[0]?.port ?? 0)
        wire.set("hang")
        const answer = await onStore(settingsOf("etcdv3", [wire.endpoint], "c", millis(1500)))
        expect(answer).toMatchObject({ error: expect.stringContaining("StoreError") })
        const { ms } = answer as { readonly ms: number }
        expect(ms).toBeGreaterThan(1400)
        expect(ms).toBeLessThan(2500)
      })

      test("asks members for a leader, so that one without a quorum says so", async () => {
        const [alone, ...others] = etcd.members
        for (const other of others) other.pause()
        try {
          await until("the member to lose its leader", async () => !(await alone?.healthy()))
          const settings = settingsOf("etcdv3", [alone?.endpoint ?? ""], "c", millis(1500))
          expect(await onStore(settings)).toMatchObject({
            error: expect.stringContaining("no leader"),
          })
        } finally {
          for (const other of others) other.resume()
        }
      })
    })

    describe("with etcd over TLS", () => {
      let etcd: EtcdCluster
      let authority: Certificate
      let client: Certificate
      beforeAll(async () => {
        authority = await makeAuthority(directory, "authority")
        const server = await makeCertificate(directory, "server", "IP:127.0.0.1", authority)
        client = await makeCertificate(directory, "client", "DNS:client", authority)
        etcd = await startEtcd({ tls: { ...server, clientCa: authority.cert } })
      })
      afterAll(() => etcd[Symbol.asyncDispose]())

      test("reaches an IP address with client certificates, and refuses an unknown authority", async () => {
        const other = await makeAuthority(directory, "other")
        const settings = settingsOf("etcdv3", etcd.endpoints, "c", millis(2000))
        const files = { certFile: client.cert, keyFile: client.key, skipVerify: false }
        const good = { ...settings, tls: { ...files, caFile: authority.cert } }
        expect(await onStore(good)).toEqual(everything)
        const bad = { ...settings, tls: { ...files, caFile: other.cert } }
        expect(await onStore(bad)).toMatchObject({ error: expect.stringContaining("StoreError") })
      })
    })
  },
)
