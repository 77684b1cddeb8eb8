/**
 * Workers in bad times: a machine that stands still for a moment costs no session, and one that
 * cannot start a process now does so later. The workers here are made of timers, since a real one
 * cannot be made slow to the millisecond; `pool.test.ts` has real ones.
 */
import { expect, test } from "bun:test"

import { present } from "#base/assert.ts"
import { millis } from "#base/brand.ts"
import { type Worker, newCrew, usual } from "#relay/crew.ts"
import type { Order, Report } from "#relay/orders.ts"
import { pool } from "#relay/pool.ts"
import { local, until } from "./world.ts"

const options = {
  ...{ host: local, port: 0, dialTimeout: millis(5_000), max: 0, prefaced: false },
  keepalive: { idle: 0, interval: 0, count: 0 },
  hold: { timeout: millis(30_000), max: 100 },
}

/** Answers everything, once it is there; `stall` makes it slow. */
function fakes(slow: (n: number) => number) {
  const killed: number[] = []
  const orders: Order[][] = []
  const workers: Worker[] = []
  let count = 0
  const start = (heard: (report: Report) => void): Worker => {
    const n = count++
    const mine: Order[] = []
    orders.push(mine)
    const ended = Promise.withResolvers<void>()
    let dead = false
    const kill = (): void => {
      if (!dead) killed.push(n)
      dead = true
      ended.resolve()
    }
    const worker: Worker = {
      tell(order) {
        mine.push(order)
        if (!("id" in order) || order.order === "whose") return
        setTimeout(() => dead || heard({ id: order.id, done: "done" }), slow(n))
      },
      kill,
      dismiss: kill,
      ended: ended.promise,
    }
    workers.push(worker)
    return worker
  }
  const kill = (n: number): void => present(workers[n], `worker ${n}`).kill()
  return { start, killed, orders, kill }
}
const tuning = { patience: millis(100), startPatience: millis(2_000), pause: millis(10) }

test("a spread that is in force already asks nobody, so a moment's stall costs no session", async () => {
  let delay = 0
  const w = fakes(() => delay)
  await using all = pool(
    { primary: options, reads: { options, fallback: true } },
    2,
    w.start,
    tuning,
  )
  const spread = { to: [[{ host: local, port: 5432 }]], leaving: [] }
  await all.readers?.apply(spread)
  delay = 300 // the machine is busy for a moment
  await all.readers?.apply(spread) // as each beat and each check says again
  expect(w.killed).toEqual([])
})

test("a proxy that starts slowly is not kept from starting by what it says to begin with", async () => {
  const w = fakes(() => 300)
  await using all = pool(
    { primary: options, reads: { options, fallback: true } },
    2,
    w.start,
    tuning,
  )
  await all.readers?.apply({ to: [], leaving: [] })
  expect(w.killed).toEqual([])
})

test("a worker that cannot be started now is started later", async () => {
  const w = fakes(() => 0)
  const refusals = [2, 3]
  let starts = 0
  const start = (heard: (report: Report) => void): Worker => {
    if (refusals.includes(++starts)) throw new Error("EAGAIN")
    return w.start(heard)
  }
  const crew = newCrew(1, start, () => ({ orders: [], questions: [] }), { ...usual, ...tuning })
  w.kill(0)
  await until("another one", () => starts === 4 && crew.workers.alive === 1)
  await crew[Symbol.asyncDispose]()
})

test("a worker that lived long is replaced soon, whatever happened before", async () => {
  const w = fakes(() => 0)
  const pause = millis(20)
  const all = { ...usual, ...tuning, pause, oldEnough: millis(1_000) }
  const crew = newCrew(1, w.start, () => ({ orders: [], questions: [] }), all)
  for (let n = 0; n < 5; n++) {
    await until("the next one", () => w.orders.length === n + 1)
    w.kill(n) // young: 20, 40, 80, 160, 320 ms
  }
  await until("the one that grows old", () => w.orders.length === 6)
  const born = performance.now()
  await until("old", () => performance.now() - born > all.oldEnough)
  const killed = performance.now()
  w.kill(5)
  await until("its successor", () => w.orders.length === 7)
  expect(performance.now() - killed).toBeLessThan(320) // it would have been 640
  await crew[Symbol.asyncDispose]()
})
