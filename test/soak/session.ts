/**
 * One session of the soak: what it asks, and what it demands of the answers. A question either is
 * answered with exactly what was asked for, by a server that may answer, or the session is over.
 */
import type { Random } from "#base/random.ts"
import { join, message, packet } from "#test/unit/relay/postgres.ts"
import { difference, sizeOf, tagged } from "./text.ts"
import { type Answer, type Place, placeOf } from "./witness.ts"
import type { Message, Wire } from "./wire.ts"

/** Something that must never be. */
export class Wrong extends Error {
  override readonly name = "Wrong"
}

/** The server, or the proxy, has ended the session or refused to begin it; by SQLSTATE. */
export class Told extends Error {
  override readonly name = "Told"
  readonly code: string
  constructor(code: string, text: string) {
    super(`${code} ${text}`)
    this.code = code
  }
}

export interface Orders {
  readonly number: number
  readonly door: Answer["door"]
  readonly user: string
  readonly database: string
  readonly random: Random
  /** Judges an answer; a text is what is wrong with it. */
  readonly judge: (answer: Answer) => string | null
}

export interface Session {
  /** The start-up, up to the first ReadyForQuery. */
  begin(): Promise<void>
  /** One question, drawn. */
  act(): Promise<void>
  readonly answers: () => number
  goodbye(): Promise<void>
}

const protocol = 196_608
const textMax = 200_000
const place = "soak_place()"

export function newSession(wire: Wire, orders: Orders): Session {
  const { number, door, user, database, random } = orders
  let question = 0
  let answers = 0
  let before: Place | null = null
  let hasTable = false

  const text = (): string => tagged(number, ++question, sizeOf(random, textMax))
  const wrong = (what: string): Wrong =>
    new Wrong(`session ${number} on the ${door} port, question ${question}: ${what}`)
  const demand = (wanted: string, found: string): void => {
    const how = difference(wanted, found)
    if (how !== null) throw wrong(how)
  }
  /** The next message that is an answer; throws what ends the session. */
  const read = async (): Promise<Message> => {
    for (;;) {
      const it = await wire.read()
      if (it.type === "E") throw toldBy(it.body)
      if (it.type !== "N" && it.type !== "S") return it
    }
  }
  const expect = async (...types: readonly string[]): Promise<readonly Message[]> => {
    const all: Message[] = []
    for (const type of types) {
      const it = await read()
      if (it.type !== type) throw wrong(`${it.type} instead of ${type}`)
      all.push(it)
    }
    return all
  }
  const seen = (said: string, sent: number): void => {
    const at = placeOf(said)
    if (at === null) throw wrong(`no place: ${said.slice(0, 200)}`)
    const received = performance.now()
    const what = orders.judge({ door, sent, received, place: at, before })
    if (what !== null) throw wrong(what)
    before = at
    answers++
  }
  const query = (sql: string): number => {
    const sent = performance.now()
    wire.send(message("Q", `${sql}\0`))
    return sent
  }
  /** A row of the server's place and a text. */
  const row = ({ body }: Message, wanted: string, sent: number): void => {
    const [said = "", echoed = ""] = valuesOf(body)
    demand(wanted, echoed)
    seen(said, sent)
  }

  const echo = async (): Promise<void> => {
    const wanted = text()
    const sent = query(`select ${place}, '${wanted}'`)
    const [, found] = await expect("T", "D", "C", "Z")
    if (found !== undefined) row(found, wanted, sent)
  }
  /** Several questions at once, answered in their order. */
  const pipeline = async (): Promise<void> => {
    const all = Array.from({ length: 1 + random.below(8) }, text)
    const sent = performance.now()
    wire.send(message("P", `echo\0select ${place}, $1::text\0\0\0`))
    for (const one of all) wire.send(bindAndExecute("echo", one))
    wire.send(join(message("C", "Secho\0"), message("S")))
    await expect("1")
    for (const one of all) {
      const [, found] = await expect("2", "D", "C")
      if (found !== undefined) row(found, one, sent)
    }
    await expect("3", "Z")
  }
  const block = async (): Promise<void> => {
    query("begin")
    await expect("C", "Z")
    for (let left = random.below(4); left >= 0; left--) await echo()
    query("commit")
    await expect("C", "Z")
  }
  /** The server's place as the first line, and then what `lines` says. */
  const copied = async (source: string, lines: readonly string[]): Promise<void> => {
    const sent = query(`copy (select ${place} union all ${source}) to stdout`)
    await expect("H")
    const resting = random.below(8) === 0
    if (resting) wire.rest(true)
    if (resting) setTimeout(() => wire.rest(false), random.below(200))
    const found: string[] = []
    for (let it = await read(); it.type !== "c"; it = await read()) {
      if (it.type !== "d") throw wrong(`${it.type} within a COPY`)
      found.push(it.body.toString("latin1"))
    }
    await expect("C", "Z")
    const [said = "", ...rest] = found.join("").split("\n")
    demand(`${lines.join("\n")}\n`, rest.join("\n"))
    seen(said, sent)
  }
  const copyOut = async (): Promise<void> => {
    const line = tagged(number, ++question, sizeOf(random, 4_000))
    const count = sizeOf(random, 200)
    const source = `select '${line}' || n from generate_series(1, ${count}) n`
    await copied(
      source,
      Array.from({ length: count }, (_, i) => `${line}${i + 1}`),
    )
  }
  /** In pieces that end anywhere, and out again. */
  const copyIn = async (): Promise<void> => {
    query(hasTable ? "truncate soak_lines" : "create temp table soak_lines (n int, line text)")
    await expect("C", "Z")
    hasTable = true
    const lines = Array.from({ length: sizeOf(random, 100) }, () =>
      tagged(number, ++question, sizeOf(random, 4_000)),
    )
    query("copy soak_lines from stdin")
    await expect("G")
    const bytes = Buffer.from(lines.map((line, i) => `${i}\t${line}\n`).join(""))
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(16_384)
      wire.send(message("d", bytes.subarray(at, at + size)))
      at += size
    }
    wire.send(message("c"))
    await expect("C", "Z")
    await copied("(select line from soak_lines order by n)", lines)
  }
  /** The last one only where writes are. */
  const acts = [echo, echo, echo, pipeline, pipeline, block, copyOut, copyIn]
  const usable = door === "primary" ? acts : acts.slice(0, -1)

  return {
    async begin() {
      const words = ["user", user, "database", database, "application_name", `soak ${number}`]
      wire.send(packet(protocol, [...words, "", ""].join("\0")))
      for (let it = await read(); it.type !== "Z"; it = await read())
        if (it.type !== "R" && it.type !== "K") throw wrong(`${it.type} as the session begins`)
    },
    act: async () => await usable[random.below(usable.length)]?.(),
    answers: () => answers,
    async goodbye() {
      wire.send(message("X"))
      await wire.end()
    },
  }
}

/** Binds one text to a statement, and has it executed. */
function bindAndExecute(statement: string, value: string): Uint8Array {
  const text = Buffer.from(value, "latin1")
  const head = Buffer.from(`\0${statement}\0\0\0\0\x01\0\0\0\0`, "latin1")
  head.writeInt32BE(text.length, head.length - 4)
  return join(
    message("B", Buffer.concat([head, text, Buffer.from([0, 0])])),
    message("E", "\0\0\0\0\0"),
  )
}

/** The fields of a DataRow. */
function valuesOf(body: Buffer): readonly string[] {
  const found: string[] = []
  for (let at = 2; at < body.length;) {
    const size = body.readInt32BE(at)
    found.push(body.toString("latin1", at + 4, at + 4 + size))
    at += 4 + Math.max(0, size)
  }
  return found
}

function toldBy(body: Buffer): Told {
  const fields = body.toString("utf8").split("\0")
  const field = (letter: string): string =>
    fields.find((one) => one.startsWith(letter))?.slice(1) ?? ""
  return new Told(field("C"), field("M"))
}
