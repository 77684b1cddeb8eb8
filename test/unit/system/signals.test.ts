/** How often an operator must ask before the process ends. */
import { expect, test } from "bun:test"
import { onShutdown } from "#system/signals.ts"
import { until } from "./until.ts"

test("the first signal asks for an end, the second for haste and ends the process soon, the third at once", async () => {
  const codes: number[] = []
  using shutdown = onShutdown((code) => codes.push(code))
  process.kill(process.pid, "SIGTERM")
  await until("the first signal", () => shutdown.signal.aborted)
  expect({ hurry: shutdown.hurry.aborted, codes }).toEqual({ hurry: false, codes: [] })
  process.kill(process.pid, "SIGINT")
  await until("the second signal", () => shutdown.hurry.aborted)
  expect(codes).toEqual([])
  process.kill(process.pid, "SIGINT")
  await until("the third signal", () => codes.length > 0)
  expect(codes).toEqual([130])
})
