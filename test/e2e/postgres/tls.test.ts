/** A source that insists on TLS: our own sessions and PostgreSQL's programs both get through. */
import { expect, test } from "bun:test"
import { chmodSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { sourceTarget } from "#postgres/clone.ts"
import { newSession } from "#postgres/session.ts"
import { asPostgres } from "../run-as.ts"
import { files, keeper, never, primary, ready, seconds, start, stop } from "./keeper.ts"

if (asPostgres(import.meta.path)) {
  test("sessions, clone() and rewind()'s checkpoint work over TLS", async () => {
    await using a = await keeper("a")
    await primary(a)
    await a.run(stop)
    const [key, certificate] = [join(a.pgData, "server.key"), join(a.pgData, "server.crt")]
    const request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3"]
    const made = Bun.spawnSync([...request, "-subj", "/CN=a", "-keyout", key, "-out", certificate])
    expect(made.exitCode).toBe(0)
    chmodSync(key, 0o600)
    const plain = files(a, { lines: ["ssl = 'on'"] })
    const strict = { ...plain, hba: plain.hba.replaceAll("host ", "hostssl ") }
    await a.run({ kind: "write-config", files: strict }, start, ready)
    const target = sourceTarget(a.source, a.settings.superuser, {})
    const session = newSession(target, a.settings.clock, seconds(5))
    const sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    expect(await session.query(v.object({ ssl: v.boolean() }), sql, never)).toEqual([{ ssl: true }])
    session.close()
    await using b = await keeper("b")
    const nothing = b.run({ kind: "clone", from: a.source, slot: "stolon_nope" })
    await expect(nothing).rejects.toThrow("does not exist yet")
    await a.run({ kind: "create-slot", name: "stolon_db2", reserve: true })
    await b.run({ kind: "clone", from: a.source, slot: "stolon_db2" }, { kind: "swap-in" })
    // The copy has not diverged: pg_rewind is satisfied at once, after the checkpoint over TLS.
    await b.run(
      { kind: "write-config", files: files(b, { follow: a, own: "db2" }) },
      start,
      ready,
      stop,
    )
    await b.run({ kind: "rewind", source: a.source })
  }, 60_000)
}
