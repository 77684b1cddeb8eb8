/**
 * A standby cluster: its top follows a primary outside, so nobody writes and nothing has to be
 * fenced; and the promotion of it, in every order in which it can meet a failure (N6).
 */
import { describe, expect, test } from "bun:test"
import type { KeeperUID, Nonce } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { type World, world } from "./world.ts"

const settings = {
  primaryConninfo: "host=10.1.1.1 port=5432 user=repl",
  primarySlotName: "",
  recoveryMinApplyDelay: "",
}
const spec: Partial<Spec> = {
  initMode: "pitr",
  pitrConfig: { dataRestoreCommand: "restore %d" },
  role: "standby",
  standbyConfig: { standbySettings: settings },
}
/** k1 on top, every PostgreSQL in recovery. */
function three(): World {
  const w = world(spec).keeper("k1", "k2", "k3").proxy("p1")
  for (const k of ["k1", "k2", "k3"]) w.set(k, { inRecovery: true })
  return w.settled()
}
const promoted = (w: World): World => w.spec({ role: "master" })
const epoch = (w: World): string => w.data.cluster.status.primaryEpoch
const follow = (w: World, keeper: string): unknown => w.db(keeper).spec.followConfig

describe("a standby cluster", () => {
  test("opens the gate to its top although that is in recovery", () => {
    const w = three()
    expect(w.gate()).toBe("k1")
    expect(follow(w, "k1")).toEqual({
      type: "external",
      dbuid: "" as never,
      standbySettings: settings,
    })
    expect(follow(w, "k2")).toMatchObject({ type: "internal", dbuid: w.uid("k1") })
  })
  test("gets a new top within few rounds when the old one dies: the furthest, at once", () => {
    const w = three().set("k2", { position: 900n })
    w.set("k1", { alive: false }).until(() => w.revoked(), 6)
    w.until(() => w.primary() === "k3", 4)
    expect(follow(w, "k3")).toEqual({
      type: "external",
      dbuid: "" as never,
      standbySettings: settings,
    })
    expect(follow(w, "k2")).toMatchObject({ type: "internal", dbuid: w.uid("k3") })
    w.until(() => w.gate() === "k3", 3)
  })
  test("does not wait for a certificate of a living top: it never wrote", () => {
    const w = three()
    w.forceFail("k1").until(() => w.revoked(), 2)
    w.until(() => w.primary() === "k2", 4) // convergenceTimeout is 10 s
  })
  test("waits for its proxies all the same, for clients must not read from two", () => {
    const w = three()
    w.proxies.get("p1")!.acknowledges = false
    w.forceFail("k1").ticks(8)
    expect([w.primary(), w.revoked()]).toEqual(["k1", true])
  })
  test("hands over on request, and the old top follows the new one", () => {
    const w = three().status({
      failoverRequest: { nonce: "n" as Nonce, keeper: "k3" as KeeperUID },
    })
    w.until(() => w.gate() === "k3", 8)
    w.until(() => w.hasDB("k1") && w.db("k1").spec.role === "standby", 3)
    expect(follow(w, "k1")).toMatchObject({ type: "internal", dbuid: w.uid("k3") })
  })
  test("takes changed standby settings over", () => {
    const w = three()
    const { generation } = w.db("k1")
    const changed = { ...settings, primaryConninfo: "host=10.1.1.2 user=repl" }
    w.spec({ standbyConfig: { standbySettings: changed } }).tick()
    expect(w.db("k1").generation).toBe((generation + 1) as never)
    expect(follow(w, "k1")).toMatchObject({ type: "external", standbySettings: changed })
  })
  test("keeps no synchronous names, whatever the specification says", () => {
    const w = three().spec({ synchronousReplication: true })
    w.ticks(5)
    expect(w.db("k1").spec.synchronousReplication).toBe(false)
    expect(w.db("k1").spec.externalSynchronousStandbys).toBe(null)
  })
})

describe("the promotion of a standby cluster", () => {
  const opens = (w: World, keeper: string): void => {
    w.set(keeper, { inRecovery: false, timeline: 2 }).until(() => w.gate() === keeper, 8)
    expect(w.db(keeper).spec.role).toBe("master")
    expect(follow(w, keeper)).toBeUndefined()
  }
  test("makes its top a master that follows nobody", () => {
    const w = promoted(three())
    w.tick()
    opens(w, "k1")
    w.until(() => w.db("k2").spec.followConfig?.dbuid === w.uid("k1"), 3)
  })
  test("that is asked for while the top is dead makes the new top a master", () => {
    const w = three().set("k1", { alive: false })
    w.ticks(2)
    promoted(w).until(() => w.primary() === "k2", 10)
    expect(w.gate()).toBe("")
    opens(w, "k2")
  })
  test("that is asked for between the revocation and the succession does so, too", () => {
    const w = three()
    w.forceFail("k1").until(() => w.revoked(), 2)
    promoted(w).until(() => w.primary() === "k2", 5)
    opens(w, "k2")
  })
  test("that is asked for after the succession makes the new top a master", () => {
    const w = three()
    w.forceFail("k1").until(() => w.primary() === "k2", 6)
    promoted(w).ticks(2)
    opens(w, "k2")
  })
  test("of a top that dies then goes by the rule of masters: it may have written", () => {
    const w = promoted(three())
    w.tick()
    expect(w.db("k1").spec.role).toBe("master")
    w.forceFail("k1").until(() => w.revoked(), 2)
    w.ticks(5)
    expect(w.primary()).toBe("k1") // it is asked for its certificate
  })
  test("whose top has just lost its disk goes to a standby: nobody's commits wait yet (P5)", () => {
    const w = three().spec({ synchronousReplication: true })
    w.set("k1", { postgres: false, lost: true }).tick()
    promoted(w).until(() => w.primary() === "k2", 10)
    opens(w, "k2")
  })
  test("does not open the gate to a new top that is still in recovery", () => {
    const w = promoted(three().set("k1", { alive: false }))
    w.until(() => w.primary() === "k2", 12).ticks(5)
    expect([w.gate(), epoch(w) === ""]).toEqual(["", false])
  })
  test("with nobody else alive stays with the top that is there", () => {
    const w = three().set("k2", { alive: false }).set("k3", { alive: false })
    w.ticks(6)
    w.forceFail("k1").ticks(2)
    promoted(w).ticks(3)
    expect([w.primary(), w.db("k1").spec.role]).toEqual(["k1", "master"])
  })
})
