/**
 * What is published: never more than was seen, and the same bytes as Go's where nothing of ours is
 * added.
 */
import { describe, expect, test } from "bun:test"
import { desire } from "#keeper/desire.ts"
import { keeperInfo, urgentPart } from "#keeper/info.ts"
import type { ClusterData } from "#model/cluster.ts"
import { lsn } from "#base/lsn.ts"
import { dbUID, epoch, generation, infoUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"
import { boot, db, followsOther, me, other, settings, view } from "./build.ts"
import { type Machine, dir, emptyMachine, observe } from "./model.ts"
import { settle } from "./run.ts"

function info(machine: Machine, seen: ClusterData | null): KeeperInfo {
  const desired = seen === null ? null : desire(seen, { uid: me, boot, certificate: null })
  const made = keeperInfo(
    { local: observe(machine), settings, desired, work: "", ledByUs: true },
    infoUID("i1"),
  )
  if (made === null) throw new Error("nothing published")
  return made
}
const db1 = {
  uid: dbUID("db1"),
  generation: generation(4),
  initializing: false,
  initPGParameters: null,
}
const primary = view({ dbs: [{ ...db("db1"), generation: generation(4) }] })
const stopped: Machine = { ...emptyMachine, db: db1, data: dir("old") }
const up = settle(stopped, primary).machine

describe("keeperInfo()", () => {
  test("D-43 a primary whose disk takes no data is not healthy, whatever it answers", () => {
    const local = { ...observe(up), unwritable: "no space left on the device" }
    const report = { local, settings, desired: null, work: "", ledByUs: true }
    expect(keeperInfo(report, infoUID("i1"))?.postgresState?.healthy).toBe(false)
    const well = { ...report, local: observe(up) }
    expect(keeperInfo(well, infoUID("i1"))?.postgresState?.healthy).toBe(true)
  })
  test("P1 a certificate is not repeated while what it speaks of runs, in its own epoch", () => {
    const certificate = {
      epoch: epoch("e1"),
      bootUUID: boot,
      dbuid: dbUID("db1"),
      finalLSN: lsn(0n),
      reason: "",
    }
    const words = {
      epoch: epoch("e1"),
      detached: null,
      ending: false,
      peerAddress: "",
      promises: false,
      fencing: undefined,
      electable: null,
      promise: null,
    }
    const said = (machine: Machine, word: string): Partial<KeeperInfo> | null => {
      const local = { ...observe(machine), certificate }
      const spoken = { ...words, epoch: epoch(word) }
      const report = { local, settings, desired: null, work: "", ledByUs: true, words: spoken }
      return keeperInfo(report, infoUID("i1"))
    }
    expect(said(stopped, "e1")).toMatchObject({ certificate, evidence: "failed" })
    expect(said(up, "e2")).toMatchObject({ certificate, evidence: "" })
    expect(said(up, "e1")).not.toHaveProperty("certificate")
    expect(said(up, "e1")).toMatchObject({ evidence: "" })
  })
  test("publishes nothing before the keeper belongs to a cluster", () => {
    const nobody = {
      ...emptyMachine,
      keeper: { ...emptyMachine.keeper, clusterUID: "" as typeof emptyMachine.keeper.clusterUID },
    }
    expect(
      keeperInfo(
        { local: observe(nobody), settings, desired: null, work: "", ledByUs: true },
        infoUID("i1"),
      ),
    ).toBeNull()
  })
  test("a keeper belongs to the cluster that it reads, whatever it belonged to before (K2)", () => {
    const clusterUID = "c0" as typeof emptyMachine.keeper.clusterUID // another cluster's
    const before = { ...stopped, keeper: { ...stopped.keeper, clusterUID } }
    const after = settle(before, primary).machine
    expect(after.keeper).toEqual({ ...before.keeper, clusterUID: primary.cluster.uid })
    expect(info(after, primary).clusterUID).toBe(primary.cluster.uid)
  })
  test("a primary that runs is healthy, with its generation", () => {
    expect(info(up, primary).postgresState).toMatchObject({
      uid: "db1",
      generation: 4,
      healthy: true,
      inRecovery: false,
      acceptsClients: true,
    })
  })
  test("says where its machine is, and what readers of a standby see", () => {
    const placed = { ...settings, zone: "east" }
    const report = { local: observe(up), settings: placed, desired: null, work: "", ledByUs: true }
    const said = keeperInfo(report, infoUID("i1"))
    expect(said?.zone).toBe("east")
    expect(said?.postgresState?.replayed).toBe(lsn(0n)) // of a primary: nothing
    const { local } = report
    if (local.server.kind !== "up") throw new Error("it runs")
    const server = { ...local.server, inRecovery: true, replayed: lsn(77n) }
    const standby = keeperInfo({ ...report, local: { ...local, server } }, infoUID("i1"))
    expect(standby?.postgresState?.replayed).toBe(lsn(77n))
  })
  test("a stopped one keeps its generation and says nothing else", () => {
    expect(info(stopped, primary).postgresState).toMatchObject({
      uid: "db1",
      generation: 4,
      healthy: false,
      systemID: "",
      xLogPos: 0n,
      synchronousStandbys: null,
    })
  })
  test("a DB to be copied is published with generation 0 while the old data is still there", () => {
    const seen = view({
      master: "db2",
      dbs: [db("db3", { initMode: "resync", ...followsOther }), other()],
    })
    expect(info(up, seen).postgresState).toMatchObject({
      uid: "db3",
      generation: 0,
      healthy: false,
      xLogPos: 0n,
    })
  })
  test("lost data is not given out for the DB that was expected", () => {
    expect(info(up, view({ dbs: [db("db9")] })).postgresState).toMatchObject({
      uid: "db1",
      generation: 4,
    })
  })
  test("a closed guard is told", () => {
    const sync = { synchronousReplication: true, synchronousStandbys: [dbUID("db2")] }
    const seen = view({ dbs: [db("db1", sync), other()] })
    expect(info(settle(stopped, seen).machine, seen).postgresState?.acceptsClients).toBeFalse()
  })
  test("our own parameters are not reported", () => {
    expect([...(info(up, primary).postgresState?.pgParameters.keys() ?? [])]).toEqual(["wal_level"])
  })
  test("urgentPart() does not change with the name of the info, but with what others wait for", () => {
    const one = info(up, primary)
    expect(urgentPart({ ...one, infoUID: infoUID("i2") })).toBe(urgentPart(one))
    expect(urgentPart(info({ ...up, inSync: [dbUID("db2")] }, primary))).not.toBe(urgentPart(one))
    expect(urgentPart(info(stopped, primary))).not.toBe(urgentPart(one))
  })
})
