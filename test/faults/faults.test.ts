/**
 * A short pass of the fault tests as part of every test run: one valid row with the two faults that
 * ask most of a cluster, and a row that must come out invalid, so that the harness itself cannot
 * have gone blind. Everything else is `make faults`.
 */
import { expect, test } from "bun:test"
import { join } from "node:path"
import { obstacle } from "./sandbox.ts"

const words = [
  process.execPath,
  join(import.meta.dir, "main.ts"),
  "--row=sync1,invalid-isolated",
  "--nemesis=kill all of primary,isolate primary",
]

test("a synchronous cluster loses nothing when its primary dies and is cut off, and without a lease two writers are seen", async () => {
  expect(obstacle()).toBe(null)
  const child = Bun.spawn(words, { stdio: ["ignore", "pipe", "pipe"] })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`ended with ${code}:\n${out}${err}`)
  expect(out).toContain("2 rows as expected, 0 not")
}, 300_000)
