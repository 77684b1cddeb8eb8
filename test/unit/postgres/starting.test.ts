/** What is said of PostgreSQL while it is being started: a certificate rests on it. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { until } from "../system/until.ts"
import { cluster, never, seconds, template } from "./cluster.ts"

let from: Awaited<ReturnType<typeof template>>
beforeAll(async () => {
  from = await template()
})
afterAll(() => from[Symbol.dispose]())

test("state() does not say stopped while a start that was asked for is still under way", async () => {
  await using pg = await cluster(from)
  const supervisor = await pg.open()
  // the view revokes just now: the keeper gives the start up, looks, and certifies what it sees
  const giveUp = new AbortController()
  const start = supervisor.start(pg.what, giveUp.signal).catch(() => "given up")
  const look = supervisor.state(never) // reaches the guardian right behind the start
  const seen = await look
  giveUp.abort()
  expect(await start).toBe("given up")
  const later = await until("PostgreSQL came up all the same", async () => {
    const state = await supervisor.state(never)
    return state.kind === "running" ? state : undefined
  }).catch(() => ({ kind: "stopped" }))
  await supervisor.end(seconds(30), never)
  expect({ seen: seen.kind, later: later.kind }).not.toEqual({ seen: "stopped", later: "running" })
})
