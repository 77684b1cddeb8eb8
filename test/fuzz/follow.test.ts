/**
 * The follower of sessions against a model of PostgreSQL's main loop that reads one message after
 * the other: any conversation, the client ahead by any number of messages, pieces of any size.
 * Never idle before the server is; idle when it is, except while a broken COPY leaves that open.
 */
import { expect, test } from "bun:test"

import type { Random } from "#base/random.ts"
import { fromClient, fromServer, isIdle, newFollow } from "#relay/follow.ts"

import { greeting, message as m, readyIn, startup } from "../unit/relay/postgres.ts"
import { fuzz, pick } from "./fuzz.ts"

/** A message of the client and what the server makes of it. */
interface Said {
  readonly type: string
  readonly does: "rows" | "error" | "copy" | "copies" | "out" | "begin" | "commit"
  /** A COPY breaks after so many rows. */
  readonly breaksAfter: number
}

const say = (type: string, does: Said["does"] = "rows", breaksAfter = Infinity): Said => ({
  type,
  does,
  breaksAfter,
})

/** What a client says in one go. */
function conversation(random: Random): readonly Said[] {
  const said: Said[] = []
  const some = (most: number, one: () => void): void => {
    for (let i = random.below(most + 1); i > 0; i--) one()
  }
  const breaks = (): number => (random.below(3) === 0 ? random.below(4) : Infinity)
  const rows = (): void => {
    some(4, () => said.push(say(pick(random, ["d", "d", "d", "H", "S"]))))
    said.push(say(pick(random, ["c", "c", "c", "f"])))
  }
  const simple = (): void => {
    const does = pick<Said["does"]>(random, [
      "rows",
      "error",
      "copy",
      "copies",
      "out",
      "begin",
      "commit",
    ])
    said.push(say("Q", does, breaks()))
    if (does === "copy" || does === "copies") rows()
    if (does === "copies") rows()
  }
  const extended = (): void => {
    said.push(say("P", random.below(8) === 0 ? "error" : "rows"), say("B"))
    some(1, () => said.push(say("D")))
    const does = pick<Said["does"]>(random, ["rows", "rows", "error", "copy", "begin", "commit"])
    said.push(say("E", does, breaks()))
    if (does === "copy") {
      some(1, () => said.push(say("S")))
      rows()
    }
  }
  some(6, () => {
    const turn = random.below(8)
    if (turn < 3) simple()
    else if (turn === 3) said.push(say(pick(random, ["S", "H", "F", "c", "d", "f"])))
    else {
      extended()
      some(1, extended)
      said.push(say("S"))
    }
  })
  return said
}

/** PostgreSQL's main loop, as far as it decides what is answered. */
function server(out: (bytes: Uint8Array) => void) {
  let xact = "I"
  let implicit = false
  let skipping = false
  let copy: { simple: boolean; left: number; more: number } | null = null
  const ready = (): void => {
    implicit = false
    out(readyIn(xact))
  }
  const fail = (simple: boolean): void => {
    copy = null
    out(m("E", "SERROR\0\0"))
    if (xact === "T") xact = "E"
    if (simple) ready()
    else skipping = true
  }
  const beginCopy = (simple: boolean, left: number, more: number): void => {
    out(m("G", "\0\0\0"))
    copy = { simple, left, more }
    if (left === 0) fail(simple)
  }
  const run = (said: Said, simple: boolean): void => {
    switch (said.does) {
      case "error":
        return fail(simple)
      case "copy":
      case "copies":
        return beginCopy(simple, said.breaksAfter, said.does === "copies" ? 1 : 0)
      case "out":
        out(m("H", "\0\0\0"))
        out(m("d", "Z\0\0\0\x05I"))
        out(m("c"))
        break
      case "rows":
        out(m("D", "Z\0\0\0\x05I"))
        break
      case "begin":
        xact = "T"
        break
      case "commit":
        xact = "I"
        break
    }
    out(m("C", "DONE\0"))
    if (simple) ready()
  }
  const inCopy = (said: Said, at: NonNullable<typeof copy>): void => {
    if (said.type === "f" || (said.type === "d" && --at.left <= 0)) return fail(at.simple)
    if (said.type !== "c") return
    copy = null
    out(m("C", "COPY\0"))
    if (!at.simple) return
    if (at.more > 0) beginCopy(true, at.left, at.more - 1)
    else ready()
  }
  const read = (said: Said): void => {
    if (copy !== null) return inCopy(said, copy)
    if (said.type === "S") {
      skipping = false
      return ready()
    }
    if ("dcfH".includes(said.type) || skipping) return
    if (said.type === "Q") return run(said, true)
    if (said.type === "F") {
      out(m("V", "\0\0\0\0"))
      return ready()
    }
    implicit = true
    if (said.type === "E") run(said, false)
    else if (said.does === "error") fail(false)
    else out(m({ P: "1", B: "2", D: "n" }[said.type] ?? "3"))
  }
  const idle = (unread: readonly Said[]): boolean =>
    xact === "I" &&
    !implicit &&
    !skipping &&
    copy === null &&
    unread.every(({ type }) => "dcfH".includes(type))
  return { read, idle }
}

/** Shows `bytes` in pieces. */
function inPieces(random: Random, bytes: Uint8Array, show: (piece: Uint8Array) => void): void {
  let at = 0
  while (at < bytes.byteLength) {
    const next = random.below(3) === 0 ? at + 1 + random.below(7) : bytes.byteLength
    show(bytes.slice(at, next))
    at = next
  }
}

/** Null: given up on. Else how often the session was seen to be idle. */
function talk(random: Random): number | null {
  const f = newFollow()
  const model = server((bytes) => inPieces(random, bytes, (piece) => fromServer(f, piece)))
  fromClient(f, startup)
  fromServer(f, greeting)
  let unsaid: readonly Said[] = []
  const unread: Said[] = []
  let turns = 0
  let idle = 0
  const ahead = random.below(2) === 0 ? 1 : 20
  while (turns++ < 200) {
    if (unsaid.length === 0 && turns < 150) unsaid = conversation(random)
    const [said, ...rest] = unsaid
    if (
      said !== undefined &&
      (unread.length === 0 || (unread.length < ahead && random.below(2) === 0))
    ) {
      unsaid = rest
      unread.push(said)
      inPieces(random, m(said.type, "Z\0\0\0\x05I"), (piece) => fromClient(f, piece))
    } else {
      const next = unread.shift()
      if (next !== undefined) model.read(next)
    }
    if (f.opaque) return null
    if (isIdle(f)) idle++
    const truth = model.idle(unread)
    if (isIdle(f) && !truth) throw new Error(`turn ${turns}: idle too early`)
    if (!isIdle(f) && truth && f.owed.unmatched < 0)
      throw new Error(`turn ${turns}: idle and not known to be`)
  }
  return idle
}

let followed = 0
let lost = 0
let idleTurns = 0
fuzz("isIdle() agrees with a server that reads one message after the other", 3_000, (random) => {
  const idle = talk(random)
  if (idle === null) lost++
  else followed++
  idleTurns += idle ?? 0
})

test("isIdle() was true often enough to mean something, and few sessions were given up on", () => {
  expect(idleTurns).toBeGreaterThan(10 * followed)
  expect(lost).toBeLessThan(followed / 4)
})
