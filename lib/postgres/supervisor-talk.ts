/**
 * Questions and answers over a connection to the guardian: each question gets its own answer, or
 * fails when the connection breaks or its signal aborts. Nothing is asked twice by itself.
 */
import * as v from "valibot"
import type { Exit } from "#port/supervision.ts"
import type { Connection, Handlers } from "#system/lines.ts"
import { type Answer, answerSchema, type Question } from "#system/protocol.ts"

/**
 * A guardian that could not be had, broke off, or refused. The work in hand fails; the next call
 * tries again.
 */
export class GuardianError extends Error {
  override readonly name = "GuardianError"
}

export interface Talk {
  readonly handlers: Handlers
  ask(connection: Connection, question: Question, signal: AbortSignal): Promise<unknown>
}

interface Waiter {
  readonly connection: Connection
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/** `onExit` gets exits that the guardian reports, `onClosed` every connection that ends. */
export function openTalk(
  onExit: (exit: Exit) => void,
  onClosed: (connection: Connection) => void,
): Talk {
  const waiters = new Map<number, Waiter>()
  let ids = 0
  const take = (answer: Answer): void => {
    if ("exit" in answer) return onExit(answer.exit)
    const waiter = waiters.get(answer.id)
    if ("error" in answer) waiter?.reject(new GuardianError(answer.error))
    else waiter?.resolve(answer.result)
  }
  const handlers: Handlers = {
    message: (_, message) => {
      const parsed = v.safeParse(answerSchema, message)
      if (parsed.success) take(parsed.output)
    },
    closed: (connection) => {
      for (const waiter of waiters.values())
        if (waiter.connection === connection)
          waiter.reject(new GuardianError("the guardian is lost"))
      onClosed(connection)
    },
  }
  const ask: Talk["ask"] = async (connection, question, signal) => {
    signal.throwIfAborted()
    if (connection.closed) throw new GuardianError("the guardian is lost")
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const id = ++ids
    const abort = (): void => reject(signal.reason)
    signal.addEventListener("abort", abort, { once: true })
    waiters.set(id, { connection, resolve, reject })
    try {
      connection.send({ id, ...question })
      return await promise
    } finally {
      waiters.delete(id)
      signal.removeEventListener("abort", abort)
    }
  }
  return { handlers, ask }
}
