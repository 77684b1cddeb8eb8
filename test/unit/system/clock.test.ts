/** The real clock and real chance: one time for every process, waits that can be cancelled. */
import { expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"

const open = new AbortController().signal

test("now() measures on the clock that every process shares", async () => {
  const before = realClock.now().mono
  const other = Bun.spawnSync([
    process.execPath,
    "-e",
    `
    import { realClock } from "${new URL("../../../lib/system/clock.ts", import.meta.url).pathname}"
    console.log(realClock.now().mono)`,
  ])
  const there = Number(other.stdout.toString())
  expect(there).toBeGreaterThan(before)
  expect(there).toBeLessThan(realClock.now().mono)
})

test("now() counts what /proc/uptime counts", async () => {
  const uptime = Number((await Bun.file("/proc/uptime").text()).split(" ")[0]) * 1000
  expect(Math.abs(realClock.now().mono - uptime)).toBeLessThan(1_000)
})

test("now() dates in RFC 3339", () => {
  expect(realClock.now().wall).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
})

test("sleep() resolves not before its time", async () => {
  const start = realClock.now().mono
  await realClock.sleep(millis(30), open)
  expect(realClock.now().mono - start).toBeGreaterThanOrEqual(30)
})

test("sleep() rejects with the reason when the signal aborts, also before it began", async () => {
  const controller = new AbortController()
  const reason = new Error("enough")
  const sleeping = realClock.sleep(millis(1e9), controller.signal)
  controller.abort(reason)
  expect(sleeping).rejects.toBe(reason)
  expect(realClock.sleep(millis(1), controller.signal)).rejects.toBe(reason)
})

test("deadline() aborts after its time, earlier with the parent's reason", async () => {
  const timed = realClock.deadline(millis(20), open)
  expect(timed.aborted).toBe(false)
  await new Promise((resolve) => timed.addEventListener("abort", resolve))
  expect(timed.reason).toMatchObject({ name: "TimeoutError" })
  const parent = new AbortController()
  const child = realClock.deadline(millis(1e10), parent.signal) // longer than timers reach
  parent.abort("stop")
  expect(child.reason).toBe("stop")
})

test("chance gives seeds of 32 bits, uids of eight digits and different uuids", () => {
  expect(realChance.seed()).toBeLessThan(2 ** 32)
  expect(realChance.uid()).toMatch(/^[0-9a-f]{8}$/)
  expect(realChance.uuid()).not.toBe(realChance.uuid())
})
