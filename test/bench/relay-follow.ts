/**
 * What it costs the relay to follow sessions: the same relay with following on and off, each in a
 * process of its own, in turn; the processor time of that process, for 200 MB of small rows and for
 * queries of one row. The server and the client are stand-ins that only speak in bytes.
 *
 * Run: bun test/bench/relay-follow.ts [PAIRS]. Measured, not asserted.
 */
import { millis } from "#base/brand.ts"
import { relay } from "#relay/relay.ts"

import { greeting, join, message, readyIn, startup } from "../unit/relay/postgres.ts"

const local = "127.0.0.1"
const rowBytes = Number(process.env["ROW"] ?? 64)
const bulk = 200 * 1024 * 1024
const queries = 60_000
const row = message("D", new Uint8Array(rowBytes - 5))
const block = join(...Array.from({ length: Math.ceil(262_144 / rowBytes) }, () => row))
const last = join(message("C", "SELECT\0"), readyIn("I"))
const single = join(message("T", "\0\x01name\0" + "x".repeat(18)), row, last)
const ask = message("Q", "select one\0")
const askBulk = message("Q", "select all\0")

if (process.argv[2] === "relay") await carry(process.argv[3] === "on", Number(process.argv[4]))
else await measure(Number(process.argv[2] ?? 7))

/** The relay's process: prints its port, and its processor time in microseconds when asked. */
async function carry(follow: boolean, port: number): Promise<void> {
  const keepalive = { idle: 0, interval: 0, count: 0 }
  const hold = { timeout: millis(30_000), max: 1 }
  const open = { max: 0, prefaced: false }
  const options = { host: local, port: 0, dialTimeout: millis(5_000), keepalive, hold, ...open }
  await using proxy = relay(options, { follow })
  await proxy.listen()
  await proxy.apply({ kind: "forward", host: local, port })
  console.log(proxy.port)
  for await (const _ of Bun.stdin.stream()) {
    const { user, system } = process.cpuUsage()
    console.log(user + system)
  }
}

interface Peer {
  left: number
}

/** Answers a query of one row at once, the other with as much as the client takes. */
function server() {
  const feed = (socket: Bun.Socket<Peer>): void => {
    const peer = socket.data
    while (peer.left > 0) {
      const from = (bulk - peer.left) % block.byteLength
      const taken = socket.write(block.subarray(from, Math.min(block.byteLength, from + peer.left)))
      if (taken <= 0) return
      peer.left -= taken
      if (peer.left === 0) socket.write(last)
    }
  }
  return Bun.listen<Peer>({
    hostname: local,
    port: 0,
    data: { left: 0 },
    socket: {
      open: (socket) => void (socket.data = { left: 0 }),
      data(socket, chunk) {
        if (chunk.byteLength === startup.byteLength) socket.write(greeting)
        else if (chunk.byteLength === ask.byteLength && chunk[12] === ask[12]) socket.write(single)
        else {
          socket.data.left = bulk
          feed(socket)
        }
      },
      drain: feed,
    },
  })
}

/** Sends `question` `times` times, each after the whole answer to the one before. */
async function client(port: number, question: Uint8Array, answer: number, times: number) {
  const done = Promise.withResolvers<void>()
  let due = greeting.byteLength
  let left = times
  const socket = await Bun.connect({
    hostname: local,
    port,
    socket: {
      open: (own) => void own.write(startup),
      data(own, chunk) {
        due -= chunk.byteLength
        if (due > 0) return
        if (left-- === 0) return done.resolve()
        due = answer
        own.write(question)
      },
    },
  })
  await done.promise
  socket.terminate()
}

/** One relay process and its processor time for each of the two loads. */
async function run(follow: boolean, port: number): Promise<readonly [number, number]> {
  await using child = Bun.spawn(
    [process.execPath, import.meta.path, "relay", follow ? "on" : "off", `${port}`],
    { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  )
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  const number = async (): Promise<number> => Number((await lines.read()).value)
  const cost = async (): Promise<number> => {
    await child.stdin.write("?")
    await child.stdin.flush()
    return number()
  }
  const target = await number()
  const bulkAnswer = bulk + last.byteLength
  await client(target, askBulk, bulkAnswer, 6) // compiled code costs time to make, once
  await client(target, ask, single.byteLength, queries)
  const started = await cost()
  await client(target, askBulk, bulkAnswer, 8)
  const rowsDone = await cost()
  await client(target, ask, single.byteLength, queries)
  const all = await cost()
  await child.stdin.end()
  await child.exited
  return [(rowsDone - started) / 8, all - rowsDone]
}

async function measure(pairs: number): Promise<void> {
  using standIn = { it: server(), [Symbol.dispose]: () => standIn.it.stop(true) }
  const ratios: [number[], number[]] = [[], []]
  const costs: [number[], number[]] = [[], []]
  for (let i = 0; i < pairs; i++) {
    const first = i % 2 === 0
    const a = await run(first, standIn.it.port)
    const b = await run(!first, standIn.it.port)
    const [on, off] = first ? [a, b] : [b, a]
    for (const kind of [0, 1] as const) {
      ratios[kind].push(on[kind] / off[kind])
      costs[kind].push(off[kind])
    }
  }
  const median = (of: readonly number[]): number =>
    of.toSorted((a, b) => a - b)[of.length >> 1] ?? 0
  const line = (what: string, kind: 0 | 1, per: string, unit: number): string =>
    `${what}: ${(median(costs[kind]) / unit).toFixed(1)} ${per}, following costs ` +
    `${((median(ratios[kind]) - 1) * 100).toFixed(1)} % (median of ${pairs} pairs)`
  console.log(line(`200 MB in rows of ${rowBytes} bytes`, 0, "ms of processor time", 1000))
  console.log(line("a query of one row", 1, "us of processor time", queries))
}
