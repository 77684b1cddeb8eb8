/** What the view asks for: K1 to K5, and who may be primary under a leader of ours. */
import { describe, expect, test } from "bun:test"
import { lsn } from "#base/lsn.ts"
import { type Desired, desire } from "#keeper/desire.ts"
import type { ClusterData } from "#model/cluster.ts"
import { bootUUID, dbUID } from "#model/ids.ts"
import type { Certificate } from "#model/info.ts"
import { boot, db, followsOther, me, other, view } from "./build.ts"

const ask = (seen: ClusterData | null, certificate: Certificate | null = null): Desired =>
  desire(seen, { uid: me, boot, certificate })
const certificate = (epoch: string, uid: string): Certificate => ({
  epoch: epoch as Certificate["epoch"],
  bootUUID: bootUUID("boot-0"),
  dbuid: dbUID(uid),
  finalLSN: lsn(0n),
  reason: "",
})

describe("desire()", () => {
  test("leaves PostgreSQL as it is without a view, with a broken one, or while this keeper is unknown", () => {
    expect(ask(null).kind).toBe("leave")
    expect(ask(view({ spec: { initMode: "sideways" }, dbs: [db("db1")] })).kind).toBe("leave")
    expect(ask({ ...view({ dbs: [db("db1")] }), keepers: new Map() }).kind).toBe("leave")
  })
  test("leaves PostgreSQL as it is while the DB to follow is missing", () => {
    expect(ask(view({ master: "db2", dbs: [db("db1", followsOther)] })).kind).toBe("leave")
  })
  test("stops without a DB, and until the leader has seen this start", () => {
    expect(ask(view({ dbs: [other()] }))).toMatchObject({ kind: "stopped", certify: null })
    expect(ask(view({ dbs: [db("db1")], boot: "boot-0" }))).toMatchObject({
      kind: "stopped",
      certify: null,
    })
  })
  test("runs what is assigned", () => {
    expect(ask(view({ dbs: [db("db1")] }))).toMatchObject({
      kind: "run",
      role: { kind: "primary" },
    })
    expect(ask(view({ dbs: [db("db1", followsOther), other()] }))).toMatchObject({
      kind: "run",
      role: { kind: "internal" },
    })
  })
  test("under a leader of ours only the DB that the view names is a primary", () => {
    const seen = (epoch: string): ClusterData =>
      view({ dbs: [db("db1"), other()], master: "db2", epoch })
    expect(ask(seen("e1"))).toMatchObject({ kind: "stopped", certify: null, urgent: true })
    expect(ask(seen("")).kind).toBe("run") // Go's rules
  })
  test("a revoked primary stops and certifies, also when its keeper has just started", () => {
    const certify = { epoch: "e1", db: "db1" }
    expect(ask(view({ dbs: [db("db1")], epoch: "e1", revoked: true }))).toMatchObject({
      kind: "stopped",
      certify,
    })
    expect(
      ask(view({ dbs: [db("db1")], epoch: "e1", revoked: true, boot: "boot-0" })),
    ).toMatchObject({ kind: "stopped", certify })
  })
  test("a certificate holds for its own DB and epoch only", () => {
    const seen = view({ dbs: [db("db1")], epoch: "e1" })
    expect(ask(seen, certificate("e1", "db1")).kind).toBe("stopped")
    expect(ask(seen, certificate("e0", "db1")).kind).toBe("run")
    expect(ask(seen, certificate("e1", "db0")).kind).toBe("run")
    expect(ask(view({ dbs: [db("db1")] }), certificate("e1", "db1")).kind).toBe("run")
  })
  test("a standby runs whoever is revoked", () => {
    const seen = view({
      dbs: [db("db1", followsOther), other()],
      master: "db2",
      epoch: "e1",
      revoked: true,
    })
    expect(ask(seen).kind).toBe("run")
  })
})
