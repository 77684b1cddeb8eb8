/**
 * A destination that takes nobody in for now: its clients try again and are told nothing that they
 * could be spared.
 */
import { expect, test } from "bun:test"

import { greeting, lastWord, message, sslRequest, startup } from "./postgres.ts"
import {
  connect,
  destination,
  type End,
  fence,
  holdingRelay,
  over,
  send,
  text,
  to,
  until,
} from "./world.ts"

const starting = message("E", "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0")
const codeOf = (end: End): string | undefined =>
  lastWord(Buffer.concat(end.received))?.fields.get("C")

/** Answers the first startups with each of `answers`, and closes after all but the last. */
const server = (answers: readonly (Uint8Array | null)[], ends: End[] = []) => {
  const at = destination(true, (end) => void ends.push(end))
  const serve = async (): Promise<void> => {
    for (const [i, answer] of answers.entries()) {
      await until("a startup", () => (ends[i]?.bytes ?? 0) >= startup.byteLength)
      const end = ends[i] as End
      if (answer === null) end.socket.terminate()
      else send(end, answer, i < answers.length - 1)
    }
  }
  return { ...at, served: serve(), ends }
}

test("relay() leads a client again to a destination that refused it, as soon as it listens", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  await using proxy = await holdingRelay()
  await proxy.apply(to(gone.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("refused more than once", () => proxy.stats().dialErrors > 1)
  expect(over(client)).toBe(false)
  using back = destination(true, () => {}, gone.port)
  await until("served", () => back.ends[0]?.bytes === startup.byteLength)
  send(back.end(0), greeting)
  await until("greeted", () => client.bytes === greeting.byteLength)
  expect(proxy.stats()).toMatchObject({ sessions: 1, held: 0, cut: 0, refused: 0 })
})

test("relay() shows nobody that PostgreSQL is starting, or that it crashed before it answered", async () => {
  using at = server([starting, null, greeting])
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await at.served
  await until("greeted", () => client.bytes === greeting.byteLength)
  expect(Buffer.concat(client.received)).toEqual(Buffer.from(greeting))
  expect(at.ends.map(({ bytes }) => bytes)).toEqual(at.ends.map(() => startup.byteLength))
  send(client, message("Q", "select 1\0"))
  await until("it goes on", () => text(at.end(2)).endsWith("select 1\0"))
})

const denied = message("E", "SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0\0")

const begun = async (port: number): Promise<End> => {
  const client = await connect(port)
  send(client, startup)
  return client
}

test("relay() takes no pg_hba.conf for the last word while PostgreSQL has just been down", async () => {
  using at = server([denied, starting, denied, greeting])
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  const early = await begun(proxy.port)
  await until("told: it is well", () => early.ended)
  expect(codeOf(early)).toBe("28000")
  const client = await begun(proxy.port)
  await until("greeted", () => client.bytes === greeting.byteLength)
  await at.served
})

test("relay() believes pg_hba.conf again soon after one was let in, not at once", async () => {
  using at = server([starting, greeting, denied, greeting])
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  for (const who of ["first", "second"]) {
    const client = await begun(proxy.port)
    await until(`the ${who} greeted`, () => client.bytes === greeting.byteLength)
  }
  await at.served
  const late = await begun(proxy.port)
  let answered = 4
  await until("told: it is well again", () => {
    const end = at.ends[answered]
    if (end !== undefined && end.bytes === startup.byteLength) {
      answered++
      send(end, denied, true)
    }
    return late.bytes === denied.byteLength
  })
  expect(answered).toBeGreaterThan(5)
})

test("relay() begins without the encryption that was declined before", async () => {
  using at = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(at.port))
  const client = await connect(proxy.port)
  send(client, sslRequest)
  await until("asked", () => at.ends[0]?.bytes === sslRequest.byteLength)
  send(at.end(0), "N")
  await until("declined", () => client.bytes === 1)
  send(client, startup)
  await until("begun", () => at.end(0).bytes === sslRequest.byteLength + startup.byteLength)
  send(at.end(0), starting, true)
  await until("begun again", () => at.ends[1]?.bytes === startup.byteLength)
  expect(client.bytes).toBe(1)
})

test("relay() passes on every other answer, also of the same kind", async () => {
  const noRoom = message("E", "SFATAL\0VFATAL\0C53300\0Mtoo many clients\0\0")
  for (const [opening, answer] of [
    [startup, noRoom],
    ["no PostgreSQL client at all", starting],
  ] as const) {
    using at = destination()
    await using proxy = await holdingRelay()
    await proxy.apply(to(at.port))
    const client = await connect(proxy.port)
    send(client, opening)
    await until("begun", () => (at.ends[0]?.bytes ?? 0) === opening.length)
    send(at.end(0), answer, true)
    await until("told", () => client.bytes === answer.byteLength && client.ended)
    expect(at.ends.length).toBe(1)
    client.socket.terminate()
  }
})

test("relay() passes the server's own words on when the time to wait is over", async () => {
  const ends: End[] = []
  using at = destination(true, (end) => void ends.push(end))
  await using proxy = await holdingRelay(250)
  await proxy.apply(to(at.port))
  const client = await connect(proxy.port)
  send(client, startup)
  let answered = 0
  await until("told", () => {
    const end = ends[answered]
    if (end !== undefined && end.bytes === startup.byteLength) {
      answered++
      send(end, starting, true)
    }
    return client.ended
  })
  expect(answered).toBeGreaterThan(1)
  expect(Buffer.concat(client.received)).toEqual(Buffer.from(starting))
})

test("relay() tells a client that nobody took in for as long as it may wait", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  await using proxy = await holdingRelay(250)
  await proxy.apply(to(gone.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("told", () => client.ended)
  expect(codeOf(client)).toBe("57P03")
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 0, holdTimeouts: 1 })
})

test("apply() takes a client that tries again along, and a fence keeps it waiting", async () => {
  const gone = destination()
  gone[Symbol.dispose]()
  using next = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(gone.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("refused", () => proxy.stats().dialErrors > 0)
  await proxy.apply(fence)
  expect(proxy.stats()).toMatchObject({ sessions: 0, held: 1, cut: 0 })
  const { dialErrors } = proxy.stats()
  await proxy.apply(to(next.port))
  await until("served", () => next.ends[0]?.bytes === startup.byteLength)
  expect(proxy.stats()).toMatchObject({ sessions: 1, dialErrors })
})

test("apply() keeps a client whose beginning nobody has answered", async () => {
  using silent = destination()
  using next = destination()
  await using proxy = await holdingRelay()
  await proxy.apply(to(silent.port))
  const client = await connect(proxy.port)
  send(client, startup)
  await until("it has heard", () => silent.ends[0]?.bytes === startup.byteLength)
  await proxy.apply(to(next.port))
  await until("served", () => next.ends[0]?.bytes === startup.byteLength)
  await until("the other is left", () => over(silent.end(0)))
  expect(client.bytes).toBe(0)
  expect(proxy.stats()).toMatchObject({ sessions: 1, cut: 0 })
})
