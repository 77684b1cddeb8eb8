/**
 * What the bench's client makes of a server's words, on a server that says what it is told to: the
 * difference between a transaction that failed and one that never began is what the table is about.
 */
import { expect, test } from "bun:test"
import { createServer, type Socket } from "node:net"
import { startClient } from "#test/bench/failover/client.ts"
import { until } from "#test/conformance/wait.ts"

type Word =
  | "ok"
  | "hang"
  | "close"
  | { readonly fatal: string }
  | { readonly notice: string }
  /** All is well, and then it goes. */
  | { readonly later: string }
/** The answer to a statement on the n-th connection, which begins with `startup`. */
type Script = (connection: number, statement: string) => Word

function frame(type: string, body: string): Buffer {
  const head = Buffer.alloc(5)
  head.write(type, "latin1")
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, Buffer.from(body, "latin1")])
}
const told = (severity: string, code: string): string => `V${severity}\0C${code}\0Mtold\0\0`

function say(socket: Socket, word: Word): void {
  if (word === "hang") return
  if (word === "close") return void socket.destroy()
  if (word === "ok") return void socket.write(frame("Z", "I"))
  if ("fatal" in word) return void socket.end(frame("E", told("FATAL", word.fatal)))
  if ("later" in word)
    return void socket.end(Buffer.concat([frame("Z", "I"), frame("E", told("FATAL", word.later))]))
  socket.write(Buffer.concat([frame("N", told("WARNING", word.notice)), frame("Z", "I")]))
}

async function server(script: Script) {
  let connections = 0
  const sockets = new Set<Socket>()
  const listening = createServer((socket) => {
    const mine = connections++
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      const text = chunk.toString("latin1")
      if (text.startsWith("X")) return
      say(socket, script(mine, text.startsWith("Q") ? text.slice(5, -1) : "startup"))
    })
  })
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve))
  const address = listening.address()
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listening.close(resolve))
    },
  }
}

/** Runs a client until it has written five rows on its second connection, or has to. */
async function outcome(script: Script) {
  await using there = await server(script)
  const client = startClient(there.port, 1)
  const before = (): boolean => there.connections() > 1 && client.acknowledged.size >= 5
  await until("rows after the trouble", before, 5_000)
  await client.stop()
  return { ...client.counts(), ids: [...client.acknowledged] }
}

const first = (word: Word, statement: RegExp): Script => {
  let said = false
  return (_, asked) => {
    if (said || !statement.test(asked)) return "ok"
    said = true
    return word
  }
}

test("57P01 in answer to BEGIN is being told to reconnect: nothing had begun", async () => {
  expect(await outcome(first({ fatal: "57P01" }, /^begin/))).toMatchObject({
    ...{ told: 1, failed: 0, refused: 0 },
  })
})

test("57P01 later than BEGIN is a failed transaction, and its row is not acknowledged", async () => {
  for (const statement of [/^insert/, /^commit/]) {
    const { ids, ...counts } = await outcome(first({ fatal: "57P01" }, statement))
    expect(counts).toEqual({ told: 0, failed: 1, refused: 0 })
    expect(ids).not.toContain(1)
  }
})

test("a connection that ends without a word is a failed transaction, even before BEGIN", async () => {
  expect(await outcome(first("close", /^begin/))).toMatchObject({ told: 0, failed: 1 })
})

test("a commit that came back with a notice is not acknowledged (N2)", async () => {
  await using there = await server(first({ notice: "01000" }, /^commit/))
  const client = startClient(there.port, 1)
  await until("a row", () => client.acknowledged.size > 0)
  await client.stop()
  expect(client.counts().failed).toBe(1)
  expect([...client.acknowledged]).not.toContain(1)
})

test("57P01 to an idle session is being told, once its next transaction meets it", async () => {
  expect(await outcome(first({ later: "57P01" }, /^commit/))).toMatchObject({
    ...{ told: 1, failed: 0, refused: 0 },
  })
})

test("an attempt to connect that hangs does not keep the next from being made", async () => {
  const hung: Script = (connection, statement) =>
    connection === 0 && statement === "startup" ? "hang" : "ok"
  // had its patience run out first, it would count as refused
  expect((await outcome(hung)).refused).toBe(0)
})
