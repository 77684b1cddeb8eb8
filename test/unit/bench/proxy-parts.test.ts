/**
 * The bench of proxies has parts that others rely on to be in the way as little as possible: the
 * stand-in server's words, and the list of what has to be ended.
 */
import { expect, test } from "bun:test"
import { newHeld } from "#test/bench/proxy/held.ts"
import { beginning, greeting, heard, standInUser } from "#test/bench/proxy/words.ts"
import {
  cancelRequest,
  gssRequest,
  join,
  lastWord,
  message,
  packet,
  readyIn,
  sslRequest,
} from "#test/unit/relay/postgres.ts"

const startupOf = (code: number, ...words: readonly string[]): Uint8Array =>
  packet(code, [...words, "", ""].join("\0"))
const version3 = 196_608

test("beginning() answers sessions of one user, whatever the minor version", () => {
  const own = startupOf(version3 + 2, "database", "user", "user", standInUser)
  expect(beginning(own)).toEqual({ it: { kind: "own" }, size: own.byteLength })
})

test("beginning() leaves everybody else's sessions and cancel requests to the server", () => {
  const kinds = [
    startupOf(version3, "user", "stolon"),
    startupOf(version3, "user", "stolon", "application_name", standInUser),
    startupOf(version3, "user", "user", "database", standInUser),
    cancelRequest,
  ].map((packet) => beginning(packet)?.it.kind)
  expect(kinds).toEqual(["other", "other", "other", "other"])
})

test("beginning() knows requests for encryption, and what follows them", () => {
  for (const request of [sslRequest, gssRequest])
    expect(beginning(join(request, new Uint8Array(3)))).toEqual({
      it: { kind: "encryption" },
      size: 8,
    })
})

test("beginning() waits for the whole packet", () => {
  const own = startupOf(version3, "user", standInUser)
  for (let size = 0; size < own.byteLength; size++)
    expect(beginning(own.subarray(0, size))).toBeNull()
})

test("the greeting ends with ReadyForQuery and has no error", () => {
  expect(greeting.subarray(-6)).toEqual(readyIn("I"))
  expect(lastWord(greeting)).toBeNull()
})

const query = message("Q", "DISCARD ALL\0")
const answer = join(message("C", "SELECT 0\0"), readyIn("I"))

test("heard() answers each query and each Sync, in whatever pieces they come", () => {
  const bytes = join(query, message("P", "\0select\0\0\0"), message("S"), query)
  const wanted = join(answer, readyIn("I"), answer)
  for (let cut = 0; cut <= bytes.byteLength; cut++) {
    const first = heard(bytes.subarray(0, cut))
    const second = heard(join(first.rest, bytes.subarray(cut)))
    expect(join(first.answer, second.answer)).toEqual(wanted)
    expect(second.rest.byteLength).toBe(0)
  }
})

test("heard() says when the client has taken its leave", () => {
  expect(heard(join(query, message("X"))).goodbye).toBe(true)
  expect(heard(query).goodbye).toBe(false)
})

const thing = (name: string, ended: string[]): AsyncDisposable => ({
  [Symbol.asyncDispose]: async () => void ended.push(name),
})

test("endAll() ends the latest first, and nothing twice", async () => {
  const ended: string[] = []
  const held = newHeld()
  await held.open(async () => thing("a", ended))
  const b = await held.open(async () => thing("b", ended))
  await held.open(async () => thing("c", ended))
  await held.end(b)
  await held.end(b)
  await held.endAll()
  expect(ended).toEqual(["b", "c", "a"])
})

test("endAll() ends what is being opened, too, and gives it to nobody", async () => {
  const ended: string[] = []
  const held = newHeld()
  const opening = Promise.withResolvers<AsyncDisposable>()
  let given = false
  void held.open(() => opening.promise).then(() => (given = true))
  const ending = held.endAll()
  opening.resolve(thing("late", ended))
  await ending
  expect([ended, given, held.over]).toEqual([["late"], false, true])
})

test("open() opens nothing once everything is being ended", async () => {
  const held = newHeld()
  await held.endAll()
  let opened = false
  void held.open(async () => {
    opened = true
    return thing("after", [])
  })
  await Promise.resolve()
  expect(opened).toBe(false)
})

test("open() forgets what could not be opened", async () => {
  const held = newHeld()
  const failing = held.open(async (): Promise<AsyncDisposable> => {
    throw new Error("no port")
  })
  expect(await failing.catch(String)).toBe("Error: no port")
  await held.endAll()
})
