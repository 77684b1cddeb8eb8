/**
 * The preloaded library on its own: what it does to a disk and to a clock is really felt, by a
 * program of the system and by Bun, and ends when it is told to end. A fault that strikes nothing
 * would let every row pass.
 */
import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { timed } from "#test/conformance/wait.ts"
import { compileNative } from "./native.ts"
import { type Trouble, newTrouble } from "./trouble.ts"

const directory = mkdtempSync(join(tmpdir(), "stolon-native-"))
afterAll(() => rmSync(directory, { recursive: true }))
const native = compileNative(directory)

const newOne = (name: string, below = directory): Trouble =>
  newTrouble(join(directory, `${name}.control`), native.preload, below)

const run = (
  trouble: Trouble,
  command: readonly string[],
): Bun.Subprocess<"ignore", "pipe", "pipe"> =>
  Bun.spawn([...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, LC_ALL: "C", ...trouble.environment },
  })

/** Writes a little with an fsync. */
const writing = [
  "dd",
  "if=/dev/zero",
  `of=${join(directory, "file")}`,
  "bs=10",
  "count=1",
  "conv=fsync",
]

describe("a disk", () => {
  test("that is full refuses writes, and takes them again afterwards", async () => {
    const trouble = newOne("full")
    trouble.disk({ kind: "full" })
    const child = run(trouble, writing)
    expect(await new Response(child.stderr).text()).toContain("No space left on device")
    trouble.disk({ kind: "well" })
    expect(await run(trouble, writing).exited).toBe(0)
  })

  test("that is slow takes as long as it shall", async () => {
    const trouble = newOne("slow")
    trouble.disk({ kind: "slow", fsyncMs: 150, writeMs: 150 })
    const { ms, value } = await timed(() => run(trouble, writing).exited)
    expect(value).toBe(0)
    expect(ms).toBeGreaterThan(300)
  })

  test("that hangs lets nothing end until it goes on", async () => {
    const trouble = newOne("hung")
    trouble.disk({ kind: "hung" })
    const child = run(trouble, writing)
    const other = run(newOne("free"), writing)
    expect(await other.exited).toBe(0)
    expect(child.exitCode).toBe(null)
    trouble.disk({ kind: "well" })
    expect(await child.exited).toBe(0)
  })

  test("is wrong below its own directory only", async () => {
    const trouble = newOne("elsewhere", "/nowhere")
    trouble.disk({ kind: "full" })
    expect(await run(trouble, writing).exited).toBe(0)
  })
})

describe("a clock", () => {
  const text = (child: Bun.Subprocess<"ignore", "pipe", "pipe">): Promise<string> =>
    new Response(child.stdout).text()

  test("that was stepped shows another time of day", async () => {
    const trouble = newOne("step")
    trouble.step(3_600_000)
    const shown = Number(await text(run(trouble, ["date", "+%s"])))
    const off = shown - Date.now() / 1000
    expect(off).toBeGreaterThan(3_590)
    expect(off).toBeLessThan(3_601)
  })

  test("that runs slow is slow for the boot clock of our programs too, by as much", async () => {
    const trouble = newOne("rate")
    const program = `
      const { bootMillis } = await import(${JSON.stringify(join(import.meta.dir, "../../lib/system/libc.ts"))})
      for await (const _ of process.stdin) console.log(bootMillis())`
    const child = Bun.spawn([process.execPath, "-e", program], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...trouble.environment },
    })
    const answers = child.stdout.getReader()
    const ask = async (): Promise<{ readonly shown: number; readonly real: number }> => {
      void child.stdin.write("\n")
      await child.stdin.flush()
      const { value } = await answers.read()
      return { shown: Number(new TextDecoder().decode(value)), real: performance.now() }
    }
    const rateOver = async (): Promise<number> => {
      const from = await ask()
      let to = await ask()
      while (to.real - from.real < 600) to = await ask()
      return (to.shown - from.shown) / (to.real - from.real)
    }
    const near = (rate: number): boolean => Math.abs(rate - 1) < 0.2
    expect(near(await rateOver())).toBe(true)
    trouble.rate(0.5)
    expect(near(0.5 + (await rateOver()))).toBe(true)
    trouble.rate(1)
    expect(near(await rateOver())).toBe(true)
    void child.stdin.end()
    await child.exited
  })
})
