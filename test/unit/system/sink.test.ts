/** Standard error that nobody reads must cost lines, never time (T14). */
import { expect, test } from "bun:test"
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openSink } from "#system/sink.ts"
import { until } from "./until.ts"

const sinkPath = new URL("../../../lib/system/sink.ts", import.meta.url).pathname

/**
 * A child that writes 4 MB to a standard error which nobody reads yet, and says on its standard
 * output how long that took.
 */
const flood = `
  import { openSink } from "${sinkPath}"
  const sink = openSink(2, { bytesMax: 100_000, notice: (n) => "dropped " + n + "\\n" })
  const start = performance.now()
  for (let i = 0; i < 4_000; i++) sink.write("x".repeat(1_000) + "\\n")
  console.log(JSON.stringify({ ms: performance.now() - start, dropped: sink.dropped }))
  await Bun.stdin.text()
  await sink.flush(5_000)
  sink.write("last\\n")
`

type Reporter = { readonly stdout: ReadableStream<Uint8Array> }

async function measure(child: Reporter): Promise<{ ms: number; dropped: number }> {
  const chunk = await child.stdout.getReader().read()
  return JSON.parse(new TextDecoder().decode(chunk.value))
}

/**
 * A pipe that nobody reads until told to. (Bun's own "pipe" is a socket that Bun empties all the
 * time.)
 */
function quietPipe(mode: number) {
  const directory = mkdtempSync(join(tmpdir(), "stolon-sink-"))
  const path = join(directory, "pipe")
  Bun.spawnSync(["mkfifo", path])
  chmodSync(path, mode)
  const fd = openSync(path, "r+")
  const read = async (): Promise<string> => {
    const input = openSync(path, "r")
    const cat = Bun.spawn(["cat"], { stdio: [input, "pipe", "inherit"] })
    closeSync(input)
    closeSync(fd)
    return await cat.stdout.text()
  }
  return { fd, read, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) }
}

test("write() to a full pipe never waits, counts what it drops, and says so once there is room", async () => {
  using pipe = quietPipe(0o600)
  const child = Bun.spawn([process.execPath, "-e", flood], { stdio: ["pipe", "pipe", pipe.fd] })
  const { ms, dropped } = await measure(child)
  expect(ms).toBeLessThan(2_000)
  expect(dropped).toBeGreaterThan(3_000)
  const text = pipe.read()
  void child.stdin.end()
  const lines = (await text).split("\n")
  expect(lines).toContain(`dropped ${dropped}`)
  expect(lines.at(-2)).toBe("last")
  expect(lines.filter((line) => line.startsWith("x")).every((line) => line.length === 1_000)).toBe(
    true,
  )
})

test("write() to a pipe that belongs to another user never waits either", async () => {
  // The user of the child may not open the pipe, so it cannot be had anew through /proc.
  using pipe = quietPipe(0o600)
  const entry = new URL("entry.ts", import.meta.url).pathname
  const orders = ["launch", "--uid", "65534", "--gid", "65534", "--", process.execPath, "-e", flood]
  const child = Bun.spawn([process.execPath, entry, ...orders], {
    stdio: ["pipe", "pipe", pipe.fd],
    cwd: "/",
  })
  const { ms, dropped } = await measure(child)
  expect(ms).toBeLessThan(2_000)
  expect(dropped).toBeGreaterThan(3_000)
  const text = pipe.read()
  void child.stdin.end()
  expect((await text).endsWith("\nlast\n")).toBe(true)
})

test("write() goes on after the reader of the pipe has died", async () => {
  const child = Bun.spawn([process.execPath, "-e", flood], { stdio: ["pipe", "pipe", "pipe"] })
  await child.stderr.cancel()
  await measure(child)
  void child.stdin.end()
  expect(await child.exited).toBe(0)
})

test("write() to a socket that nobody reads never waits", async () => {
  // Init systems give their services a socket as standard error; "socket-fd" is one that Bun leaves
  // alone.
  const program = flood.replace("openSink(2", "openSink(3")
  const child = Bun.spawn([process.execPath, "-e", program], {
    stdio: ["pipe", "pipe", "inherit", "socket-fd"],
  })
  const { ms, dropped } = await measure(child)
  expect(ms).toBeLessThan(2_000)
  expect(dropped).toBeGreaterThan(3_000)
  child.kill("SIGKILL")
  await child.exited
})

test("write() to a file arrives in order", async () => {
  const directory = mkdtempSync(join(tmpdir(), "stolon-sink-"))
  try {
    const path = join(directory, "log")
    const sink = openSink(openSync(path, "a"))
    for (let i = 0; i < 100; i++) sink.write(`${i}\n`)
    const expected = Array.from({ length: 100 }, (_, i) => `${i}\n`).join("")
    await until("all lines", async () => (await Bun.file(path).text()) === expected)
    expect(sink.dropped).toBe(0)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
