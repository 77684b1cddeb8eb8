/**
 * Follows a PostgreSQL session from outside, to know exactly when it is idle: authenticated, in no
 * transaction, nothing asked that is not answered, both streams between two messages.
 *
 * It reads the five bytes before each message and nothing else, keeps only numbers, copies nothing,
 * and may be given the streams in pieces cut anywhere. What it cannot read (TLS, a foreign
 * protocol, a senseless length) makes the session opaque for good: neither idle nor to be spoken
 * to. It never throws and never loses a boundary.
 *
 * A client's bytes have to be shown before they are passed on, so that no answer comes early.
 */
import {
  answered,
  copyBegan,
  copyDone,
  copyEnd,
  type Entry,
  extended,
  failed,
  newOwed,
  nothingOwed,
  type Owed,
  push,
  query,
  ready,
  sync,
} from "./owed.ts"
import { cancelCode, encryptionCodes, isStartup, startupLongest } from "./startup.ts"

/** Where a stream is: inside a header, or inside a body. */
interface Walk {
  /** Bytes of the header that have come, when it is cut into pieces. */
  have: number
  type: number
  /** Its length so far. */
  length: number
  /** Bytes of the body to come. */
  skip: number
}

export interface Follow {
  readonly client: Walk
  readonly server: Walk
  readonly owed: Owed
  opaque: boolean
  /** The StartupMessage was seen: from here on messages have types. */
  started: boolean
  /** Encryption was asked for: so many answers of one byte are due. */
  offers: number
  /** The status of the last ReadyForQuery; 0 before the first. */
  status: number
  /** The body of a ReadyForQuery is due. */
  statusDue: boolean
  /** The client takes its leave, the server ends the session, or it only asks for a cancel. */
  leaving: boolean
}

const newWalk = (): Walk => ({ have: 0, type: 0, length: 0, skip: 0 })

export const newFollow = (): Follow => ({
  client: newWalk(),
  server: newWalk(),
  owed: newOwed(),
  opaque: false,
  started: false,
  offers: 0,
  status: 0,
  statusDue: false,
  leaving: false,
})

const letter = (one: string): number => one.charCodeAt(0)
const dataRow = letter("D")
const copyData = letter("d")
const idle = letter("I")
const longest = 1 << 30
/** From so many bytes on a run of rows is worth a loop of its own. */
const many = 1024

const nothing = 4
const leave = 5
const unknown = 6
type ClientMeaning = Entry | typeof nothing | typeof leave | typeof unknown

const unasked = 1
const answer = 2
const readyForQuery = 3
const complete = 4
const copyIn = 5
const error = 6

/** From the byte of a type to what it means here. */
function meanings<M>(letters: readonly (readonly [string, M])[], other: M): readonly M[] {
  const table = Array.from({ length: 256 }, () => other)
  for (const [types, meaning] of letters) for (const type of types) table[letter(type)] = meaning
  return table
}

const clientMeanings = meanings<ClientMeaning>(
  [
    ["PBDEC", extended],
    ["QF", query],
    ["S", sync],
    ["cf", copyEnd],
    ["Hdp", nothing],
    ["X", leave],
  ],
  unknown,
)

const serverMeanings = meanings<number>(
  [
    ["NASRKv", unasked], // the last three: of the start
    ["TDdcH123nstIVW", answer],
    ["Z", readyForQuery],
    ["C", complete],
    ["G", copyIn],
    ["E", error],
  ],
  0,
)

const between = ({ have, skip }: Walk): boolean => have === 0 && skip === 0

/** No transaction, nothing owed, nothing half said: it could end now and nobody would lose. */
export const isIdle = (f: Follow): boolean =>
  f.status === idle &&
  !f.opaque &&
  !f.leaving &&
  between(f.server) &&
  between(f.client) &&
  nothingOwed(f.owed)

/** The server's stream is between two messages: one of ours would be understood. */
export const canBeTold = (f: Follow): boolean =>
  f.started && f.offers === 0 && !f.opaque && !f.leaving && between(f.server)

/** The bytes of a body that are in this piece, from `at` on. */
function body(walk: Walk, at: number, end: number): number {
  const here = Math.min(walk.skip, end - at)
  walk.skip -= here
  return at + here
}

/** Bytes from the client. */
export function fromClient(f: Follow, chunk: Uint8Array): void {
  const walk = f.client
  const end = chunk.byteLength
  let at = 0
  while (at < end && !f.opaque) {
    if (walk.skip > 0) at = body(walk, at, end)
    else if (!f.started) startupByte(f, chunk[at++] ?? 0)
    else if (walk.have > 0 || end - at < 5) headerByte(f, walk, chunk[at++] ?? 0)
    else {
      const type = chunk[at] ?? 0
      const length = int32(chunk, at + 1)
      at += 5
      if (type === copyData && length >= 4 && length <= longest) walk.skip = length - 4
      else header(f, walk, type, length)
    }
  }
}

/** Bytes from the server. */
export function fromServer(f: Follow, chunk: Uint8Array): void {
  if (f.opaque) return
  const walk = f.server
  const end = chunk.byteLength
  let at = 0
  while (at < end && !f.opaque) {
    if (f.statusDue) {
      f.status = chunk[at] ?? 0
      f.statusDue = false
    }
    if (walk.skip > 0) at = body(walk, at, end)
    else if (f.offers > 0) at += offer(f, chunk[at] ?? 0)
    else if (walk.have > 0 || end - at < 5) headerByte(f, walk, chunk[at++] ?? 0)
    else {
      if (end - at >= many) {
        at = rows(walk, chunk, at, end)
        if (walk.skip > 0 || end - at < 5) continue
      }
      const type = chunk[at] ?? 0
      const length = int32(chunk, at + 1)
      at += 5
      header(f, walk, type, length)
    }
  }
}

/**
 * Past a run of rows: the loop that bulk data goes through, 1 to 2 ns a row. That a row is as long
 * as the one before is a guess for the processor, which then need not wait for the length.
 */
function rows(walk: Walk, chunk: Uint8Array, from: number, end: number): number {
  const view = new DataView(chunk.buffer, chunk.byteOffset, end)
  const last = end - 5
  let at = from
  let same = 0
  while (at <= last) {
    const type = chunk[at]
    if (type !== dataRow && type !== copyData) return at
    const length = view.getInt32(at + 1)
    if (length === same) {
      at += same + 1
      continue
    }
    if (length < 4 || length > longest) return at
    same = length
    at += length + 1
  }
  if (at <= end) return at
  walk.skip = at - end
  return end
}

const int32 = (chunk: Uint8Array, at: number): number =>
  ((chunk[at] ?? 0) << 24) |
  ((chunk[at + 1] ?? 0) << 16) |
  ((chunk[at + 2] ?? 0) << 8) |
  (chunk[at + 3] ?? 0)

/** A header that is cut into pieces. */
function headerByte(f: Follow, walk: Walk, byte: number): void {
  if (walk.have === 0) walk.type = byte
  else walk.length = (walk.length << 8) | byte
  if (++walk.have < 5) return
  const { type, length } = walk
  walk.have = walk.length = 0
  header(f, walk, type, length)
}

function header(f: Follow, walk: Walk, type: number, length: number): void {
  if (length < 4 || length > longest) {
    f.opaque = true
    return
  }
  walk.skip = length - 4
  if (!(walk === f.client ? clientMessage(f, type) : serverMessage(f, type, length)))
    f.opaque = true
}

/** False: no client says that. */
function clientMessage(f: Follow, type: number): boolean {
  const meaning = clientMeanings[type]
  switch (meaning) {
    case undefined:
    case unknown:
      return false
    case nothing:
      return true
    case leave:
      return (f.leaving = true)
    default:
      return push(f.owed, meaning)
  }
}

/** False: no server says that, or not here. */
function serverMessage(f: Follow, type: number, length: number): boolean {
  const { owed } = f
  switch (serverMeanings[type]) {
    case unasked:
      return true
    case answer:
      return answered(owed)
    case readyForQuery:
      f.statusDue = true
      return length === 5 && ready(owed)
    case complete:
      return answered(owed) && (!owed.copyIn || copyDone(owed))
    case copyIn:
      return answered(owed) && copyBegan(owed)
    case error:
      // Unasked it is a server's last word.
      if (nothingOwed(owed)) f.leaving = true
      return answered(owed) && failed(owed)
    default:
      return false
  }
}

/** Before the StartupMessage packets have no type: a length and a code. */
function startupByte(f: Follow, byte: number): void {
  const walk = f.client
  // The length goes through `length`, then the code does, while `type` remembers the length.
  walk.length = (walk.length << 8) | byte
  if (++walk.have === 4) {
    walk.type = walk.length
    walk.length = 0
    if (walk.type < 8 || walk.type > startupLongest) f.opaque = true
  }
  if (walk.have < 8) return
  const { type: length, length: code } = walk
  walk.have = walk.length = 0
  walk.skip = length - 8
  if (encryptionCodes.has(code)) f.offers++
  else if (code === cancelCode) f.leaving = true
  else if (isStartup(code)) {
    f.started = true
    push(f.owed, query) // the end of the start is a Z, too
  } else f.opaque = true
}

/** The answer to a wish for encryption. Returns the bytes it takes. */
function offer(f: Follow, byte: number): number {
  if (byte === letter("N")) {
    f.offers--
    return 1
  }
  if (byte === letter("E")) f.offers = 0
  else f.opaque = true
  return 0
}
