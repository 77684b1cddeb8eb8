/**
 * Is the simulator any good? Each bug of `mutations.ts` is planted, and seeds are run until a
 * checker finds it. A bug that is not found within the bound fails the test, and so does one that
 * is found for another reason than expected.
 */
import { expect, test } from "bun:test"
import { resolve } from "node:path"
import { mutations } from "./mutations.ts"

const script = resolve(import.meta.dir, "../../scripts/sim.ts")
const bound = "1200"

for (const [name, { breaks }] of Object.entries(mutations))
  test(`the planted bug "${name}" is found`, async () => {
    const args = ["--mutation", name, "--seeds", bound, "--workers", "2", "--stop", "1"]
    const child = Bun.spawn([process.execPath, script, ...args], { stdout: "pipe", stderr: "pipe" })
    const text = await new Response(child.stdout).text()
    const found = [...text.matchAll(/^BROKEN (.*?):/gm)].map((match) => match[1] ?? "")
    expect(await child.exited).toBe(1)
    expect(found.length).toBeGreaterThan(0)
    for (const promise of found) expect(breaks).toContain(promise)
  }, 300_000)
