/**
 * Idle exactly when the server is: every way of a session, in every way that streams can be cut
 * into pieces.
 */
import { describe, expect, test } from "bun:test"

import { canBeTold, type Follow, fromClient, fromServer, isIdle, newFollow } from "#relay/follow.ts"

import {
  cancelRequest,
  greeting,
  gssRequest,
  join,
  message as m,
  packet,
  readyIn,
  sslRequest,
  startup,
} from "./postgres.ts"

/** What one side says, and whether the session is idle after it. `>` is the client. */
type Line = readonly [">" | "<", Uint8Array, boolean]

const begun: readonly Line[] = [
  [">", startup, false],
  ["<", greeting, true],
]
const row = m("D", "\0\x01\0\0\0\x01x")
const rows = join(m("T", "\0\0"), row, row, row, m("C", "SELECT 3\0"))
const error = m("E", "SERROR\0C22012\0\0")
const parse = m("P", "\0select\0\0\0")
const bind = m("B", "\0\0\0\0\0\0\0\0")
const execute = m("E", "\0\0\0\0\0")
const extended = join(parse, bind, m("D", "P\0"), execute)
const sync = m("S")
const copyIn = m("G", "\0\0\x01\0\0")
const copyOut = m("H", "\0\0\x01\0\0")
const data = m("d", "1\n")
const done = m("c")
const copied = m("C", "COPY 1\0")
const query = m("Q", "select\0")
const idle = readyIn("I")

const stories: Readonly<Record<string, readonly Line[]>> = {
  "the start": begun,
  "the start after N to both kinds of encryption": [
    [">", gssRequest, false],
    ["<", Buffer.from("N"), false],
    [">", sslRequest, false],
    ["<", Buffer.from("N"), false],
    ...begun,
  ],
  "the start with a password, and a client that says the next at once": [
    [">", join(startup, m("p", "secret\0"), query), false],
    ["<", m("R", "\0\0\0\x03"), false],
    ["<", greeting, false],
    ["<", join(rows, idle), true],
  ],
  "a query and its rows": [...begun, [">", query, false], ["<", rows, false], ["<", idle, true]],
  "an empty query, a failed one": [
    ...begun,
    [">", m("Q", "\0"), false],
    ["<", join(m("I"), idle), true],
    [">", query, false],
    ["<", error, false],
    ["<", idle, true],
  ],
  "a transaction, also a failed one": [
    ...begun,
    [">", m("Q", "begin\0"), false],
    ["<", join(m("C", "BEGIN\0"), readyIn("T")), false],
    [">", query, false],
    ["<", join(error, readyIn("E")), false],
    [">", m("Q", "rollback\0"), false],
    ["<", join(m("C", "ROLLBACK\0"), idle), true],
  ],
  "extended queries in a pipeline": [
    ...begun,
    [">", join(extended, sync, extended, sync), false],
    ["<", join(m("1"), m("2"), m("n"), copied, idle), false],
    ["<", join(m("1"), m("2"), m("n"), copied, idle), true],
  ],
  "forty Syncs ahead": [
    ...begun,
    [">", join(...Array.from({ length: 40 }, () => join(execute, sync))), false],
    ...Array.from({ length: 40 }, (_, i): Line => ["<", join(copied, idle), i === 39]),
  ],
  "extended messages without a Sync, with Flush": [
    ...begun,
    [">", join(parse, bind, m("H")), false],
    ["<", join(m("1"), m("2")), false],
    [">", sync, false],
    ["<", idle, true],
  ],
  "an error in the middle of an extended sequence": [
    ...begun,
    [">", join(parse, bind, m("H")), false],
    ["<", error, false],
    [">", join(query, extended, sync), false], // the query is dropped, too
    ["<", idle, true],
  ],
  "a function call": [
    ...begun,
    [">", m("F", "\0\0\0\0"), false],
    ["<", join(m("V", "\0\0\0\0"), idle), true],
  ],
  "notices, notifications and settings while idle": [
    ...begun,
    ["<", join(m("N", "SNOTICE\0\0"), m("A", "\0\0\0\0a\0\0"), m("S", "a\0b\0")), true],
  ],
  "COPY in by a query": [
    ...begun,
    [">", m("Q", "copy\0"), false],
    ["<", copyIn, false],
    [">", join(data, data), false],
    [">", done, false],
    ["<", join(copied, idle), true],
  ],
  "COPY in by a query, the client ahead": [
    ...begun,
    [">", join(m("Q", "copy\0"), data, done, query), false],
    ["<", join(copyIn, copied, idle), false],
    ["<", join(rows, idle), true],
  ],
  "two COPYs in one query, given up by the client at the second": [
    ...begun,
    [">", join(m("Q", "copy;copy\0"), data, done, data, m("f", "no\0")), false],
    ["<", join(copyIn, copied), false],
    ["<", join(copyIn, error), false],
    ["<", idle, true],
  ],
  "COPY in by extended messages with the early Sync of libpq": [
    ...begun,
    [">", join(extended, sync), false],
    ["<", join(m("1"), m("2"), m("n"), copyIn), false],
    [">", join(data, data, done, sync), false],
    ["<", copied, false],
    ["<", idle, true],
  ],
  "two COPYs by extended messages in one sequence, the client ahead": [
    ...begun,
    [">", join(extended, data, sync, done, extended, data, done, sync), false],
    ["<", join(m("1"), m("2"), m("n"), copyIn, copied), false],
    ["<", join(m("1"), m("2"), m("n"), copyIn, copied), false],
    ["<", idle, true],
  ],
  "COPY in that fails before the early Sync is read": [
    ...begun,
    [">", join(extended, sync), false],
    ["<", join(m("1"), m("2"), m("n"), copyIn, error), false],
    ["<", idle, true],
    [">", join(data, done, sync), false],
    ["<", idle, true],
  ],
  "COPY in that fails after the early Sync was ignored: known with the next answer": [
    ...begun,
    [">", join(extended, sync), false],
    ["<", join(m("1"), m("2"), m("n"), copyIn), false],
    [">", join(data, done, sync), false],
    ["<", error, false],
    ["<", idle, false],
    [">", query, false],
    ["<", rows, false],
    ["<", idle, true],
  ],
  "COPY in by a query that fails while the client still sends": [
    ...begun,
    [">", m("Q", "copy\0"), false],
    ["<", copyIn, false],
    [">", data, false],
    ["<", join(error, idle), true],
    [">", join(data, done), true],
    [">", query, false],
    ["<", join(rows, idle), true],
  ],
  "COPY out": [
    ...begun,
    [">", m("Q", "copy\0"), false],
    ["<", join(copyOut, data, data, m("c")), false],
    ["<", join(copied, idle), true],
  ],
  replication: [
    ...begun,
    [">", m("Q", "START_REPLICATION\0"), false],
    ["<", join(m("W", "\0\0\0"), data, m("d", "keepalive")), false],
    [">", m("d", "r"), false],
    [">", done, false],
    ["<", join(m("c"), copied, idle), true],
  ],
  "a client that takes its leave": [...begun, [">", m("X"), false]],
  "a server's last word": [...begun, ["<", m("E", "SFATAL\0C57P01\0\0"), false]],
  "a cancel request": [[">", cancelRequest, false]],
}

function say(f: Follow, [side, bytes]: Line): void {
  if (side === ">") fromClient(f, bytes)
  else fromServer(f, bytes)
}

describe("isIdle()", () => {
  for (const [name, lines] of Object.entries(stories)) {
    test(`follows ${name}`, () => {
      const f = newFollow()
      for (const line of lines) {
        say(f, line)
        expect([line[0], isIdle(f)]).toEqual([line[0], line[2]])
        expect(f.opaque).toBe(false)
      }
    })

    test(`follows ${name}, cut at every byte, and byte by byte`, () => {
      const lengths = lines.map(([, bytes]) => bytes.byteLength)
      const total = lengths.reduce((a, b) => a + b, 0)
      const longest = Math.max(...lengths)
      for (let size = 1; size <= longest; size++) {
        for (let offset = 0; offset < (size === 1 ? 1 : Math.min(size, 8)); offset++) {
          const f = newFollow()
          for (const [side, bytes, wanted] of lines) {
            for (let at = -offset; at < bytes.byteLength; at += size)
              say(f, [side, bytes.slice(Math.max(0, at), at + size), false])
            if (isIdle(f) !== wanted) expect({ size, offset, idle: !wanted }).toBe(null as never)
          }
        }
      }
      expect(total).toBeGreaterThan(0)
    })

    test(`never calls ${name} idle inside a message`, () => {
      const f = newFollow()
      for (const line of lines) {
        const [side, bytes, wanted] = line
        const before = isIdle(f)
        let turns = 0
        let last = before
        for (const byte of bytes) {
          say(f, [side, new Uint8Array([byte]), false])
          const now = isIdle(f)
          if (now !== last) turns++
          last = now
          // A stream inside a message is never idle.
          const walk = side === ">" ? f.client : f.server
          if (now) expect([walk.have, walk.skip]).toEqual([0, 0])
        }
        expect(last).toBe(wanted)
        expect(turns).toBeLessThan(bytes.byteLength)
      }
    })
  }
})

test("fromServer() takes a session for opaque after S or G, and never for idle", () => {
  for (const yes of ["S", "G"]) {
    const f = newFollow()
    fromClient(f, yes === "S" ? sslRequest : gssRequest)
    fromServer(f, Buffer.from(yes))
    fromClient(f, startup)
    fromServer(f, greeting)
    expect([f.opaque, isIdle(f), canBeTold(f)]).toEqual([true, false, false])
  }
})

test("fromClient() and fromServer() take what makes no sense for opaque", () => {
  const bad = (length: number, type = "Q"): Uint8Array => {
    const bytes = Buffer.from(m(type))
    bytes.writeInt32BE(length, 1)
    return bytes
  }
  const client = [bad(3), bad(-1), bad(2 ** 30 + 1), bad(0, "d"), m("!"), m("\0")]
  const server = [bad(3, "D"), bad(-4, "d"), bad(2 ** 30 + 1, "T"), m("?"), readyIn("I"), copyIn]
  const start = [
    packet(1),
    packet(131_072),
    Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1]),
    bad(7).subarray(1),
  ]
  for (const bytes of client) {
    const f = begin()
    fromClient(f, bytes)
    expect([f.opaque, isIdle(f)]).toEqual([true, false])
  }
  for (const bytes of server) {
    const f = begin()
    fromServer(f, bytes)
    expect([f.opaque, isIdle(f)]).toEqual([true, false])
  }
  for (const bytes of start) {
    const f = newFollow()
    fromClient(f, bytes)
    expect(f.opaque).toBe(bytes.byteLength >= 4)
  }
})

test("fromServer() finds the next message after a body of a gigabyte", () => {
  const f = begin()
  fromClient(f, query)
  const header = Buffer.from(m("D"))
  header.writeInt32BE(2 ** 30, 1)
  fromServer(f, header)
  const piece = new Uint8Array(1 << 20).fill(0x5a) // full of what looks like ReadyForQuery
  for (let left = 2 ** 30 - 4; left > 0; left -= piece.byteLength)
    fromServer(f, piece.subarray(0, Math.min(left, piece.byteLength)))
  expect([isIdle(f), canBeTold(f)]).toEqual([false, true])
  fromServer(f, join(copied, idle))
  expect(isIdle(f)).toBe(true)
})

test("fromServer() finds the end of many rows of any length, in large and small pieces", () => {
  const lengths = [0, 1, 40, 40, 40, 41, 1019, 1020, 7, 7, 5000, 0, 0, 63]
  const few = lengths.map((length) => m("D", new Uint8Array(length).fill(0x5a)))
  const bulk = join(...Array.from({ length: 20 }, () => few).flat())
  for (let size = 1000; size < 1800; size++) {
    const f = begin()
    fromClient(f, query)
    for (let at = 0; at < bulk.byteLength; at += size) {
      fromServer(f, bulk.slice(at, at + size))
      if (isIdle(f)) expect({ size, at }).toBe(null as never)
    }
    expect(canBeTold(f)).toBe(true)
    fromServer(f, join(copied, idle))
    if (!isIdle(f)) expect(size).toBe(null as never)
  }
  for (const length of [3, -1, 2 ** 30 + 1]) {
    const f = begin()
    const broken = Buffer.from(bulk)
    broken.writeInt32BE(
      length,
      few.slice(0, 7).reduce((sum, one) => sum + one.byteLength, 1),
    )
    fromServer(f, broken)
    expect(f.opaque).toBe(true)
  }
})

test("canBeTold() is true between two messages of the server, once messages have types", () => {
  const f = newFollow()
  expect(canBeTold(f)).toBe(false)
  fromClient(f, sslRequest)
  expect(canBeTold(f)).toBe(false)
  fromServer(f, Buffer.from("N"))
  fromClient(f, startup)
  expect(canBeTold(f)).toBe(true)
  fromServer(f, greeting.subarray(0, 7))
  expect(canBeTold(f)).toBe(false)
  fromServer(f, greeting.subarray(7))
  fromClient(f, query)
  fromServer(f, row)
  expect(canBeTold(f)).toBe(true)
})

test("fromClient() gives up on a client that is a million Syncs ahead, without an end to memory", () => {
  const f = begin()
  const many = join(...Array.from({ length: 4096 }, () => sync))
  for (let i = 0; i < 300 && !f.opaque; i++) fromClient(f, many)
  expect(f.opaque).toBe(true)
  expect(f.owed.list.byteLength).toBeLessThanOrEqual(2 ** 20)
})

function begin(): Follow {
  const f = newFollow()
  for (const line of begun) say(f, line)
  expect(isIdle(f)).toBe(true)
  return f
}
