/**
 * The asking side of `lib/port/peer.ts`: one connection for one question, closed after it, so a
 * peer that is gone leaves nothing behind. Nothing is tried twice; whoever asks knows when to.
 */
import { randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import { millis } from "#base/brand.ts"
import type { Door, Peers } from "#port/peer.ts"
import { type Message, parseMessage, printMessage } from "./http.ts"
import { knock, lookAgain, reach } from "./reach.ts"
import {
  keyring,
  paths,
  printAsked,
  readAnswered,
  readLease,
  sign,
  signatureHeader,
  signed,
} from "./wire.ts"

export interface PeersOptions {
  /** The replication user's; empty: nothing can be signed. */
  readonly password: string
}

/** Callers bound their calls by signal; this one is for who forgets. */
const connectBound = millis(10_000)
/** For the look after a connection has closed: a process that is gone refuses at once. */
const lookBound = millis(1_000)
/** A host that vanished without a word is noticed some 10 s after this. */
const keepaliveAfter = 5_000

export function peers({ password }: PeersOptions): Peers {
  const keyOf = keyring(password)
  return {
    signs: password !== "",
    async promise(address, question, signal) {
      if (password === "") throw new Error("without a replication password nothing can be signed")
      const asked = { nonce: randomBytes(16).toString("hex"), question }
      const key = keyOf(question.cluster)
      const body = printAsked(asked)
      const headers = { [signatureHeader]: sign(key, "question", body) }
      const answer = await ask(address, "POST", paths.promise, headers, body, signal)
      if (!signed(key, "answer", answer.body, answer.headers.get(signatureHeader)))
        throw new Error(`${address}: the answer is not signed with our key`)
      return readAnswered(answer.body, asked)
    },
    async lease(address, signal) {
      return readLease((await ask(address, "GET", paths.lease, {}, "", signal)).body)
    },
    async nudge(address, signal) {
      await ask(address, "POST", paths.nudge, {}, "", signal).catch(() => undefined)
    },
    knock,
    listen,
  }
}

/** Throws for every answer but a good one. */
async function ask(
  address: string,
  method: "GET" | "POST",
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<Message> {
  const reached = await reach(address, connectBound, signal)
  if (reached.kind === "refused") throw new Error(`${address} refuses the connection`)
  if (reached.kind === "silent") throw new Error(`${address}: ${reached.why}`)
  const { socket } = reached
  try {
    socket.write(printMessage(`${method} ${path} HTTP/1.1`, { host: address, ...headers }, body))
    const message = await answerOf(socket, address, signal)
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(message.first)?.[1] ?? "no HTTP"
    if (status !== "200") throw new Error(`${address}: ${status} ${message.body.slice(0, 200)}`)
    return message
  } finally {
    socket.destroy()
  }
}

function answerOf(socket: Socket, address: string, signal: AbortSignal): Promise<Message> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener("abort", abort, { once: true })
    let received = Buffer.alloc(0)
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      try {
        const message = parseMessage(received)
        if (message !== null) resolve(message)
      } catch (error) {
        reject(error)
      }
    })
    socket.on("close", () => {
      signal.removeEventListener("abort", abort)
      reject(new Error(`${address} closed the connection without an answer`))
    })
  })
}

/**
 * The other side never answers `attend`, it only ends with its process. A connection that says
 * nothing at all would do as well, but the endpoint cuts such, for whoever leaves them lying about.
 */
async function listen(address: string, signal: AbortSignal): Promise<Door> {
  const reached = await reach(address, connectBound, signal)
  if (reached.kind !== "open") return reached.kind
  const { socket } = reached
  try {
    socket.setKeepAlive(true, keepaliveAfter)
    socket.write(printMessage(`GET ${paths.attend} HTTP/1.1`, { host: address }, ""))
    await closed(socket, signal)
  } finally {
    socket.destroy()
  }
  return lookAgain(address, lookBound, signal)
}

function closed(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) return abort()
    signal.addEventListener("abort", abort, { once: true })
    const end = (): void => {
      signal.removeEventListener("abort", abort)
      resolve()
    }
    // an answer means that it will not be held
    for (const what of ["end", "close", "error", "data"]) socket.once(what, end)
  })
}
