/**
 * The simulator as a test: thousands of seeds, every promise checked, every event code and step
 * kind seen. A failure prints the line that reproduces it.
 */
import { expect, test } from "bun:test"
import { resolve } from "node:path"
import { runSeed } from "./vopr.ts"

const script = resolve(import.meta.dir, "../../scripts/sim.ts")
const seeds = process.env["SIM_SEEDS"] ?? "4000"

test("runSeed() gives the same run for the same seed, and another for another", () => {
  const first = runSeed(11).hash
  expect(runSeed(11).hash).toBe(first)
  expect(runSeed(12).hash).not.toBe(first)
}, 60_000)

test(`${seeds} seeds keep every promise and reach every event and step`, async () => {
  const child = Bun.spawn([process.execPath, script, "--seeds", seeds, "--workers", "2"], {
    stdout: "pipe",
    stderr: "inherit",
  })
  const text = await new Response(child.stdout).text()
  const code = await child.exited
  if (code !== 0) console.log(text)
  expect(text).toContain(`${seeds} seeds`)
  expect(text).toContain(" 0 thin")
  expect(code).toBe(0)
}, 600_000)
