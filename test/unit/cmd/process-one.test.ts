/**
 * Sentinel and proxy as process 1 of a pid namespace, as in a container: what somebody else's
 * process leaves behind in there is collected. A keeper makes the same call.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Process, readProcess } from "#system/process.ts"
import { onSqlite } from "./played.ts"

const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
const flags: Readonly<Record<string, readonly string[]>> = {
  sentinel: [],
  proxy: ["--port=1", "--listen-address=192.0.2.1"], // an address that nobody has: tried for ever
}

let dir = ""
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "stolon-first-"))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Also those that have ended and were not collected. */
const childrenOf = (parent: number): readonly Process[] =>
  readdirSync("/proc").flatMap((name) => {
    const found = /^\d+$/.test(name) ? readProcess(Number(name)) : null
    return found?.parent === parent ? [found] : []
  })

async function until<T>(what: string, look: () => T | undefined): Promise<T> {
  const end = performance.now() + 15_000
  for (;;) {
    const found = look()
    if (found !== undefined) return found
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
    await Bun.sleep(10)
  }
}

const missing =
  process.getuid?.() !== 0
    ? "not root"
    : ["unshare", "nsenter"].find((name) => Bun.which(name) === null)
const title = "process 1 of a container collects orphans and ends when it is told:"
describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    test.each(Object.keys(flags))(
      "stolon %s",
      async (component) => {
        const words = [process.execPath, entry, component, ...(flags[component] ?? [])]
        await using namespace = Bun.spawn(
          ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", ...words],
          {
            stdio: ["ignore", "ignore", "pipe"],
            env: { PATH: process.env["PATH"] ?? "", ...onSqlite(join(dir, `${component}.db`)) },
          },
        )
        let said = ""
        const reading = (async () => {
          for await (const chunk of namespace.stderr.pipeThrough(new TextDecoderStream()))
            said += chunk
        })()
        const first = await until("the start", () => childrenOf(namespace.pid)[0]?.pid)
        await until("the log", () => (said.includes(`${component} uid`) ? true : undefined))
        const script = "for i in 1 2 3; do (exec sleep 1) & done"
        const entered = ["nsenter", "--target", String(first), "--pid", "sh", "-c", script]
        expect(await Bun.spawn(entered, { stdio: ["ignore", "ignore", "ignore"] }).exited).toBe(0)
        const orphans = (): number =>
          childrenOf(first).filter(({ name }) => /^sh$|^sleep$/.test(name)).length
        await until("orphans", () => (orphans() === 3 ? true : undefined))
        await until("collected", () => (orphans() === 0 ? true : undefined))
        process.kill(first, "SIGTERM")
        expect(await namespace.exited).toBe(0)
        await reading
      },
      60_000,
    )
  },
)
