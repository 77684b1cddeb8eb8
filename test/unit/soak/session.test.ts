/**
 * A session of the soak against a server that is scripted to be wrong: the storm has to find it,
 * and must not take its own kills or an announced end for one.
 */
import { expect, test } from "bun:test"
import { type StormOrders, startStorm } from "#test/soak/storm.ts"
import { until } from "#test/conformance/wait.ts"
import { greeting, join, message, readyIn } from "../relay/postgres.ts"

interface Server extends Disposable {
  readonly port: number
}

const text = (value: string): Uint8Array => {
  const bytes = Buffer.from(value)
  const size = Buffer.alloc(4)
  size.writeInt32BE(bytes.length)
  return join(size, bytes)
}

/** A server that greets, and answers whatever it is asked with what `answer` says. */
function server(answer: () => Uint8Array): Server {
  const listener = Bun.listen<{ greeted: boolean }>({
    ...{ hostname: "127.0.0.1", port: 0, data: { greeted: false } },
    socket: {
      open: (socket) => void (socket.data = { greeted: false }),
      data(socket) {
        socket.write(socket.data.greeted ? answer() : greeting)
        socket.data.greeted = true
      },
    },
  })
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) }
}

/** What a storm upon `port` finds, once `isEnough` of it. */
async function found(
  port: number,
  isEnough: (counts: ReturnType<typeof startStorm>["counts"], found: readonly string[]) => boolean,
): Promise<readonly string[]> {
  const all: string[] = []
  const orders: StormOrders = {
    ...{ doors: [{ name: "here", kind: "reads", port }], lanes: 4, seed: 1 },
    ...{ login: { user: "me", database: "db" }, judge: () => null },
    wrong: (what) => void all.push(what),
  }
  const storm = startStorm(orders)
  await until("enough", () => isEnough(storm.counts, all), 20_000)
  await storm.calm()
  return all
}

test("startStorm() finds the words of another session", async () => {
  const foreign = join(
    message("T", "\0\0"),
    message("D", join(Buffer.from([0, 2]), text("1|7|t|0"), text("s999.q1.p0.other "))),
    message("C", "SELECT 1\0"),
    readyIn("I"),
  )
  using at = server(() => foreign)
  const all = await found(at.port, (_, findings) => findings.some((one) => one.includes("s999")))
  expect(all.find((one) => one.includes("s999"))).toMatch(/different from character \d+ on/)
})

test("startStorm() counts its kills and announced ends, and finds any other error", async () => {
  const farewell = (code: string): Uint8Array => message("E", `SFATAL\0C${code}\0Mover\0\0`)
  using ends = server(() => farewell("57P01"))
  const announced = await found(
    ends.port,
    ({ killed, ended }) => killed > 0 && (ended.get("57P01") ?? 0) > 5,
  )
  expect(announced).toEqual([])
  using fails = server(() => farewell("XX000"))
  const [first] = await found(fails.port, (_, findings) => findings.length > 0)
  expect(first).toBe("here: XX000 over")
})
