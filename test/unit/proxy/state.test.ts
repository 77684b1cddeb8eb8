/** What a proxy shows of itself, as its loops see it. */
import { expect, test } from "bun:test"

import type { Applied } from "#port/relay.ts"
import { StoreError } from "#port/store.ts"

import { keeper, primary, timing } from "./builder.ts"
import { reading, world } from "./world.ts"

const timed = { spec: timing(1_000, 3_000) } as const

test("runProxy() shows where it leads clients, whom the view means, and how old the view is", async () => {
  const w = world({ first: reading(timed) })
  await w.advance(1_000)
  expect(w.state()).toMatchObject({
    gate: "open",
    why: "",
    destination: { host: "10.0.0.11", port: 5432 },
    primary: { keeper, db: primary },
    generation: 3,
    retiring: false,
  })
  const { goodAt, validUntil } = w.state()
  expect(validUntil - (goodAt ?? 0)).toBe(3_000)
  w.answers.read = () => Promise.reject(new StoreError("unavailable", "gone"))
  await w.advance(2_000)
  expect(w.state()).toMatchObject({ gate: "open", goodAt })
  await w.advance(3_000)
  expect(w.state()).toMatchObject({ gate: "closed", why: "store.failed gone", destination: null })
  await w.end()
})

test("runProxy() shows why nobody is led: no primary, a drain, an end that was asked for", async () => {
  const w = world({ first: reading({ ...timed, master: "" }), shutdownTimeout: 10_000 })
  await w.advance(1_000)
  expect(w.state()).toMatchObject({ gate: "closed", why: "no primary is set", primary: null })
  w.answers.read = async () => reading({ ...timed, generation: 4 })
  w.ring()
  await w.advance(0)
  expect(w.state().gate).toBe("open")
  const rest = Promise.withResolvers<Applied>()
  w.answers.drain = () => rest.promise
  w.answers.read = async () => reading({ ...timed, master: "", generation: 5, phase: "hold" })
  w.ring()
  await w.advance(0)
  expect(w.state()).toMatchObject({ gate: "draining", why: "a switchover holds the clients" })
  w.answers.sessions = 1
  w.ask()
  await w.advance(1_000)
  expect(w.state()).toMatchObject({ why: "this proxy was asked to end", retiring: true })
  w.answers.sessions = 0
  rest.resolve("done")
  await w.advance(50)
  await w.ended
})
