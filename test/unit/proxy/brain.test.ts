/**
 * The proxy's rules, one by one (reference 7: X1 to X10; D-14, D-79, G9, W1). Whole decisions are
 * compared.
 */
import { expect, test } from "bun:test"

import { millis } from "#base/brand.ts"
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import { generation } from "#model/ids.ts"
import {
  type Act,
  decide,
  expire,
  failed,
  heardUntil,
  isStale,
  lapsed,
  type Memory,
  newMemory,
  type View,
} from "#proxy/brain.ts"

import { target } from "#proxy/target.ts"
import { at, snapshot, timing, view } from "./builder.ts"

const memory: Memory = { ...newMemory(at(0)) }
const here = { host: "10.0.0.11", port: 5432 }
/** Who has to be there. */
const wanted = target(view())
const elsewhere = { host: "10.0.0.12", port: 5432 }
const found = (...bend: Parameters<typeof view>): View => ({ kind: "found", data: view(...bend) })
const publish = (of = 3, required = true): Act => ({
  kind: "publish",
  info: { generation: generation(of), timeout: millis(15_000), ttl: millis(30_000) },
  required,
})
const good = { checkInterval: 5_000, timeout: 15_000, goodAt: 1_000, witness: null, trouble: null }

test("decide() publishes before it opens, and listens in between (X2, X9, X10)", () => {
  expect(decide(snapshot({ listening: false }), memory, at(1_010)) as unknown).toEqual({
    output: { acts: [publish(), { kind: "listen" }, { kind: "forward", to: here, wanted }] },
    memory: good,
    events: [],
  })
})

test("decide() only publishes when clients already go to the right place", () => {
  expect(decide(snapshot({ destination: here }), memory, at(1_010)) as unknown).toEqual({
    output: { acts: [publish()] },
    memory: good,
    events: [],
  })
})

test("decide() cuts before it publishes when the destination changes (G9)", () => {
  expect(decide(snapshot({ destination: elsewhere }), memory, at(1_010)).output.acts).toEqual([
    { kind: "cut", why: "another destination" },
    publish(),
    { kind: "forward", to: here, wanted },
  ])
})

test("decide() cuts and then acknowledges when no primary is set, and bears that publishing fails (X7)", () => {
  for (const master of ["", "gone"]) {
    const decision = decide(
      snapshot({ view: found({ master, generation: 4 }), destination: here }),
      memory,
      at(1_010),
    )
    expect(decision as unknown).toEqual({
      output: { acts: [{ kind: "cut", why: "no primary is set" }, publish(4, false)] },
      memory: good,
      events: [],
    })
  }
})

test("decide() closes to a revoked primary even if the gate names it (W1)", () => {
  expect(
    decide(snapshot({ view: found({ revoked: true }), destination: here }), memory, at(1_010))
      .output.acts,
  ).toEqual([{ kind: "cut", why: "the primary is revoked" }, publish(3, false)])
})

test("decide() cuts when this proxy is not enabled, and publishes so that it can be (X10)", () => {
  const look = snapshot({ view: found({ enabled: false }), destination: here })
  expect(decide(look, memory, at(1_010)).output.acts).toEqual([
    { kind: "cut", why: "this proxy is not enabled" },
    publish(),
  ])
})

test("decide() treats an empty address as not known yet and a senseless port as unresolved (X8)", () => {
  for (const bend of [{ host: "" }, { port: "" }]) {
    const decision = decide(snapshot({ view: found(bend), destination: here }), memory, at(1_010))
    expect(decision.output.acts).toEqual([
      { kind: "cut", why: "the primary has no address" },
      publish(),
    ])
    expect(decision.memory.goodAt).toBe(millis(1_000))
  }
  for (const port of ["0", "65536", "-1", "5432x"]) {
    const decision = decide(
      snapshot({ view: found({ port }), destination: here }),
      memory,
      at(1_010),
    )
    expect(decision.output.acts.map((act) => act.kind)).toEqual(["cut"])
    expect(decision.memory.goodAt).toBe(millis(1_000))
  }
})

test("decide() cuts without cluster data, calls that a good check and publishes nothing (X3, T17)", () => {
  const look = snapshot({ view: { kind: "absent" }, destination: here, listening: false })
  const decision = decide(look, memory, at(1_010))
  expect(decision as unknown).toEqual({
    output: { acts: [{ kind: "cut", why: "no cluster data" }, { kind: "listen" }] },
    memory: { ...good, trouble: event("view.absent") },
    events: [event("view.absent")],
  })
  expect(decide({ ...look, destination: null }, decision.memory, at(1_020)).events).toEqual([])
})

test("decide() cuts at once by another format or an invalid specification, and the check fails (X4, G4)", () => {
  const invalid = "proxyCheckInterval should be less than proxyTimeout"
  const cases: readonly [View, string][] = [
    [{ kind: "unsupported", why: "format 2" }, "format 2"],
    [found({ spec: timing(5_000, 5_000) }), invalid],
  ]
  for (const [look, why] of cases) {
    expect(
      decide(
        snapshot({ view: look, destination: here, listening: false }),
        memory,
        at(1_010),
      ) as unknown,
    ).toEqual({
      output: { acts: [{ kind: "cut", why }] },
      memory: { ...memory, trouble: event("view.invalid", { error: why }) },
      events: [event("view.invalid", { error: why })],
    })
  }
})

test("decide() reports a malformed document or a silent store once and leaves clients alone (X1, D-79)", () => {
  const cases = [
    ["malformed", "view.malformed"],
    ["unreachable", "store.failed"],
  ] as const
  for (const [kind, code] of cases) {
    const look = snapshot({ view: { kind, why: "so" }, destination: here, listening: false })
    const first = decide(look, memory, at(1_010))
    const trouble = event(code, { error: "so" })
    expect(first).toEqual({
      output: { acts: [] },
      memory: { ...memory, trouble },
      events: [trouble],
    })
    expect(decide(look, first.memory, at(1_020)).events).toEqual([])
    const after = decide(snapshot({ destination: here }), first.memory, at(1_030))
    expect(after.events).toEqual(kind === "unreachable" ? [event("store.recovered")] : [])
  }
})

const hold = { master: "", generation: 4, phase: "hold" } as const
const drain: Act = {
  kind: "drain",
  bound: millis(5_000),
  why: "a switchover holds the clients",
}

test("S2 decide() drains in a hold and says the generation before until that is done", () => {
  const look = snapshot({ view: found(hold), destination: here })
  expect(decide(look, memory, at(1_010)).output.acts).toEqual([drain, publish(3)])
  const during = decide({ ...look, draining: true }, memory, at(1_010))
  expect(during.output.acts).toEqual([publish(3)])
  expect(during.memory.goodAt).toBe(millis(1_000))
  const done = decide({ ...look, destination: null }, memory, at(1_010))
  expect(done.output.acts).toEqual([publish(4, false)])
})

test("S2 decide() cuts in a hold when it leads elsewhere, was never heard, or is given no time", () => {
  const why = "no primary is set"
  const held = { kind: "cut", why: drain.why } as const
  const look = snapshot({ view: found(hold), destination: elsewhere })
  expect(decide(look, memory, at(1_010)).output.acts).toEqual([held, publish(4, false)])
  const unheard = snapshot({ view: found(hold), destination: here, told: null })
  expect(decide(unheard, memory, at(1_010)).output.acts).toEqual([held, publish(4, false)])
  const hurried = snapshot({ view: found({ ...hold, drain: 0 }), destination: here })
  expect(decide(hurried, memory, at(1_010)).output.acts).toEqual([
    { kind: "cut", why },
    publish(4, false),
  ])
})

test("S2 decide() overtakes a drain by the cut when the primary is revoked, whatever phase is named", () => {
  for (const phase of ["hold", "stop", "promote"] as const) {
    const bend = { ...hold, phase, revoked: phase !== "promote", generation: 5 }
    const look = snapshot({ view: found(bend), destination: here, draining: true })
    expect(decide(look, memory, at(1_010)).output.acts).toEqual([
      { kind: "cut", why: "no primary is set" },
      publish(5, false),
    ])
  }
})

test("S2 decide() leads on to where it drains when the gate opens to it again, and elsewhere after a cut", () => {
  const look = snapshot({ view: found({ generation: 5 }), destination: here, draining: true })
  expect(decide(look, memory, at(1_010)).output.acts).toEqual([
    publish(5),
    { kind: "forward", to: here, wanted: null }, // was asked for when it was opened
  ])
  expect(decide({ ...look, destination: elsewhere }, memory, at(1_010)).output.acts).toEqual([
    { kind: "cut", why: "another destination" },
    publish(5),
    { kind: "forward", to: here, wanted },
  ])
})

test("decide() announces the longer timeout while one replaces the other (X5)", () => {
  const shorter = decide(
    snapshot({ view: found({ spec: timing(1_000, 3_000) }) }),
    memory,
    at(1_010),
  )
  expect(shorter.output.acts[0]).toEqual(publish())
  expect(shorter.memory as unknown).toEqual({ ...good, timeout: 3_000, checkInterval: 1_000 })
  const settled = decide(
    snapshot({ view: found({ spec: timing(1_000, 3_000) }) }),
    shorter.memory,
    at(1_010),
  )
  const info = { generation: generation(3), timeout: millis(3_000), ttl: millis(20_000) }
  expect(settled.output.acts[0]).toEqual({ kind: "publish", info, required: true })
  const longer = decide(
    snapshot({ view: found({ spec: timing(1_000, 60_000) }) }),
    shorter.memory,
    at(1_010),
  )
  expect(longer.output.acts[0]).toMatchObject({
    info: { timeout: millis(60_000), ttl: millis(120_000) },
  })
})

test("D-14 decide() does nothing on a view that is as old as proxyTimeout", () => {
  const look = snapshot({ destination: null, listening: false })
  expect(isStale(look.readAt, memory, at(15_999))).toBe(false)
  expect(decide(look, memory, at(16_000))).toEqual({
    output: { acts: [] },
    memory: { ...memory, trouble: event("proxy.stale", { age: 15_000 }) },
    events: [event("proxy.stale", { age: 15_000 })],
  })
})

test("decide() never spins on a zero check interval", () => {
  expect(
    decide(snapshot({ view: found({ spec: timing(0, 3_000) }) }), memory, at(1_010)).memory
      .checkInterval,
  ).toBe(millis(50))
})

test("expire() cuts and closes the listener exactly proxyTimeout after the last good read", () => {
  const state = { destination: here, listening: true, reads: "none", word: null } as const
  expect(expire(state, { ...memory, goodAt: millis(1_000) }, at(15_999), true)).toBe(null)
  const why = "no good check for proxyTimeout"
  expect(expire(state, { ...memory, goodAt: millis(1_000) }, at(16_000), true)).toEqual({
    output: { acts: [{ kind: "cut", why }, { kind: "unlisten" }] },
    events: [event("proxy.timeout", { timeout: 15_000 })],
  })
  expect(expire(state, memory, at(16_000), false)?.output.acts).toEqual([{ kind: "cut", why }])
  expect(expire({ ...state, destination: null }, memory, at(16_000), false)).toBe(null)
})

test("lapsed() is true from the announced timeout after the start of the last publish", () => {
  const info = { generation: generation(3), timeout: millis(3_000), ttl: millis(20_000) }
  expect(heardUntil(info, millis(1_000))).toBe(millis(4_000))
  expect(lapsed(millis(4_000), at(3_999))).toBe(false)
  expect(lapsed(millis(4_000), at(4_000))).toBe(true)
  expect(lapsed(null, at(4_000))).toBe(false)
})

test("failed() counts a publish that failed like a store that cannot be read", () => {
  const first = failed(memory, "no quorum")
  expect(first.memory).toEqual({
    ...memory,
    trouble: event("store.failed", { error: "no quorum" }),
  })
  expect(failed(first.memory, "no quorum").events).toEqual([])
})

test("X1 D-23 decide() takes a null proxy for a malformed document, not for a closed gate (X6)", () => {
  const text = JSON.stringify({ ...JSON.parse(encodeClusterData(view())), proxy: null })
  expect(() => decodeClusterData(text)).toThrow("proxy: is missing or null")
  const malformed: View = { kind: "malformed", why: "proxy: is missing or null" }
  const { output, memory: after } = decide(
    snapshot({ view: malformed, destination: here }),
    memory,
    at(1_010),
  )
  expect([output.acts, after.goodAt]).toEqual([[], memory.goodAt])
})
