/** How a cluster begins (reference 5.6): every way has an end, or says what it waits for. */
import { describe, expect, test } from "bun:test"
import { type World, world } from "./world.ts"

const pitr = {
  initMode: "pitr",
  pitrConfig: { dataRestoreCommand: "restore %d" },
} as const
const existing = { initMode: "existing", existingConfig: { keeperUID: "k2" } } as const
const follows = {
  role: "standby",
  standbyConfig: { standbySettings: standby() },
} as const
function standby() {
  return {
    primaryConninfo: "host=10.1.1.1 port=5432 user=repl",
    primarySlotName: "dr",
    recoveryMinApplyDelay: "",
  }
}
const phase = (w: World): string => w.data.cluster.status.phase
const waits = (w: World): unknown =>
  w.events.findLast((e) => e.code === "cluster.waiting")?.fields["why"]
/** PostgreSQL is there, the specification applied, and it does not answer. */
const ill = { postgres: false, stuckAt: null }
const busy = { postgres: false, stuckAt: 0 }

describe("a new cluster", () => {
  test("D-28 begins on the first keeper that is alive and may be master", () => {
    const w = world().keeper("k1", "k2", "k3", "k4")
    w.set("k2", { canBeMaster: false }).set("k3", { alive: false })
    w.ticks(1)
    w.set("k1", { alive: false, mute: true })
    w.until(() => phase(w) === "normal", 10)
    expect(w.primary()).toBe("k4")
  })
  test("D-30 moves on from a keeper whose PostgreSQL is made and never answers", () => {
    const w = world().keeper("k1", "k2").set("k1", ill)
    w.until(() => w.primary() === "k1")
    w.until(() => w.primary() === "k2", 30)
    w.until(() => phase(w) === "normal", 5)
  })
  test("D-30 its time does not begin again when the specification changes meanwhile", () => {
    const w = world().keeper("k1", "k2").set("k1", busy)
    w.until(() => w.primary() === "k1")
    for (let i = 0; i < 25; i++) w.spec({ pgParameters: new Map([["work_mem", `${i}MB`]]) }).tick()
    expect(w.primary()).toBe("k2")
  })
  test("comes back to the only keeper there is", () => {
    const w = world().keeper("k1").set("k1", busy)
    w.until(() => w.events.some((e) => e.code === "cluster.failed"), 40)
    w.set("k1", { postgres: true, stuckAt: null }).until(() => phase(w) === "normal", 5)
  })
})

describe("a cluster from a backup", () => {
  test("D-30 is restored elsewhere when the keeper that began is gone", () => {
    const w = world(pitr).keeper("k1", "k2").set("k1", busy)
    w.until(() => w.primary() === "k1")
    w.set("k1", { alive: false }).until(() => w.primary() === "k2", 40)
    w.until(() => phase(w) === "normal", 5)
    expect(w.db("k2").spec.initMode).toBe("none")
  })
  test("D-30 is never given up while its keeper lives, and what it waits for is said", () => {
    const w = world(pitr).keeper("k1", "k2").set("k1", busy)
    w.until(() => w.primary() === "k1").ticks(200)
    expect(w.primary()).toBe("k1")
    expect(w.events.at(-1)?.code).toBe("cluster.waiting")
    expect(waits(w)).toContain("the keeper is not done")
    w.set("k1", ill).ticks(30)
    expect(waits(w)).toContain("does not answer")
    w.set("k1", { postgres: true, stuckAt: null }).until(() => phase(w) === "normal", 5)
  })
})

describe("a cluster from an existing instance", () => {
  test("waits for the keeper that was named, and for no other", () => {
    expect(world(existing).keeper("k1").ticks(5)).toEqual(["cluster.waiting", "keeper.discovered"])
  })
  test("D-30 keeps the instance, however long it takes, and says what it waits for", () => {
    const w = world(existing).keeper("k1", "k2").set("k2", ill)
    w.until(() => w.primary() === "k2")
    const db = w.uid("k2")
    w.ticks(60)
    expect(waits(w)).toContain("does not answer")
    w.set("k2", { alive: false }).ticks(40)
    expect([w.uid("k2"), waits(w)]).toEqual([db, "its keeper is silent"])
    w.set("k2", { alive: true, postgres: true }).until(() => phase(w) === "normal", 5)
    expect(w.uid("k2")).toBe(db)
  })
  test("D-31 that is to be a standby cluster follows the external primary from the beginning", () => {
    const w = world({ ...existing, ...follows })
      .keeper("k2")
      .set("k2", { inRecovery: true })
    w.until(() => w.primary() === "k2")
    expect(w.db("k2").spec).toMatchObject({
      initMode: "existing",
      role: "standby",
      followConfig: { type: "external", standbySettings: standby() },
    })
    w.until(() => w.gate() === "k2", 5)
    expect(w.db("k2").spec).toMatchObject({ role: "standby", followConfig: { type: "external" } })
  })
})
