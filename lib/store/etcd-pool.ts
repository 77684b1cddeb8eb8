/**
 * Which endpoint gets a request. One is preferred until it fails; a request that may be repeated is
 * also given to the next one when the preferred one is slow, so that a dead or hung member costs a
 * fraction of the store's timeout. A request that must not be repeated goes to one endpoint that
 * has just proved itself, once.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { StoreError } from "#port/store.ts"
import type { Endpoint } from "./etcd-endpoint.ts"
import { EtcdError, asStoreError, etcdError, isPassing } from "./etcd-errors.ts"
import { linked, within } from "./scope.ts"

/** How an unrepeatable request ended. */
export type Outcome<T> =
  | { readonly kind: "answered"; readonly answer: T }
  | { readonly kind: "unknown"; readonly why: string }

type Attempt<T> = (endpoint: Endpoint, signal: AbortSignal) => Promise<T>

export interface Pool {
  /** The preferred endpoint. */
  readonly current: Endpoint
  /**
   * For requests that may be applied more than once or late. `doing` begins the error's text.
   * Throws `StoreError`, or an `EtcdError` with trouble `lease`.
   */
  ask<T>(doing: string, attempt: Attempt<T>, timeout: Millis, signal: AbortSignal): Promise<T>
  /** For requests that must be sent once only. Throws only when it was certainly not applied. */
  once<T>(
    doing: string,
    attempt: Attempt<T>,
    timeout: Millis,
    signal: AbortSignal,
  ): Promise<Outcome<T>>
  /** Gives an endpoint up for a time: its streams end, the next one is preferred. */
  distrust(endpoint: Endpoint): void
  close(): void
}

/** An answer this young proves that an endpoint works. */
const proofMillis = 1000
const pauseMillis = 150
const insistMillis = millis(1000)

export function poolOf(
  endpoints: readonly [Endpoint, ...Endpoint[]],
  probe: Attempt<unknown>,
  clock: Clock,
): Pool {
  let preferred = 0
  const at = (index: number): Endpoint => endpoints[index % endpoints.length] ?? endpoints[0]

  const distrust = (endpoint: Endpoint): void => {
    endpoint.distrust()
    if (at(preferred) === endpoint) preferred = (preferred + 1) % endpoints.length
  }

  /**
   * Lanes start one after the other, early when the one before has failed; the first answer counts.
   */
  const race = <T>(attempt: Attempt<T>, timeout: Millis, signal: AbortSignal): Promise<T> => {
    const first = preferred
    const step = timeout / (2 * endpoints.length)
    const starts = endpoints.map(() => Promise.withResolvers<void>())
    let last: EtcdError | null = null
    const lane = async (index: number): Promise<T> => {
      const endpoint = at(first + index)
      if (index > 0)
        await Promise.race([clock.sleep(millis(step * index), signal), starts[index]?.promise])
      for (;;) {
        try {
          // With nobody else to ask, half of the time is kept for a new connection
          const bound = endpoints.length > 1 ? timeout : millis(Math.ceil(timeout / 2))
          const answer = await within(clock, bound, signal, (bounded) =>
            insist(clock, () => attempt(endpoint, bounded), bounded),
          )
          settle(first, index)
          return answer
        } catch (error) {
          const trouble = etcdError(error, endpoint.address)
          // The answer that is missing at the end is no news compared with an error that came
          // earlier
          if (!signal.aborted || last === null) last = trouble
          if (signal.aborted) throw last
          if (!isPassing(trouble)) throw trouble
          if (trouble.trouble === "lost") endpoint.distrust()
          starts[index + 1]?.resolve()
        }
        await clock.sleep(millis(pauseMillis), signal).catch(() => {})
        if (signal.aborted) throw last
      }
    }
    return Promise.race(endpoints.map((_, index) => lane(index)))
  }
  /** Prefers the endpoint that answered; those asked before it did not answer in time. */
  const settle = (first: number, index: number): void => {
    for (let i = 0; i < index; i++) at(first + i).distrust()
    preferred = (first + index) % endpoints.length
  }

  const closing = new AbortController()
  /** Ends with the pool, too. */
  const whileOpen = async <T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    signal.throwIfAborted()
    const scope = new AbortController()
    const releases = [linked(scope, signal), linked(scope, closing.signal)]
    try {
      return await work(scope.signal)
    } finally {
      for (const release of releases) release()
    }
  }

  const ask: Pool["ask"] = async (doing, attempt, timeout, signal) => {
    try {
      return await whileOpen(signal, (open) =>
        within(clock, timeout, open, (bounded) => race(attempt, timeout, bounded)),
      )
    } catch (error) {
      signal.throwIfAborted()
      closing.signal.throwIfAborted()
      if (error instanceof EtcdError && error.trouble === "lease") throw error
      throw asStoreError(error, doing)
    }
  }

  const once: Pool["once"] = async (doing, attempt, timeout, signal) => {
    const end = clock.now().mono + timeout
    for (;;) {
      const endpoint = at(preferred)
      if (clock.now().mono - endpoint.answered > proofMillis) {
        const left = millis(end - clock.now().mono)
        await ask(doing, probe, left, signal)
        continue
      }
      const left = end - clock.now().mono
      const bound = millis(Math.ceil(endpoints.length > 1 ? Math.min(left, timeout / 2) : left))
      try {
        const answer = await whileOpen(signal, (open) =>
          within(clock, bound, open, (bounded) => attempt(endpoint, bounded)),
        )
        return { kind: "answered", answer }
      } catch (error) {
        const trouble = etcdError(error, endpoint.address)
        if (trouble.trouble === "lost") {
          if (!signal.aborted && !closing.signal.aborted) distrust(endpoint)
          return { kind: "unknown", why: trouble.message }
        }
        signal.throwIfAborted()
        if (!isPassing(trouble) || clock.now().mono + pauseMillis >= end)
          throw asStoreError(trouble, doing)
        distrust(endpoint)
        await clock.sleep(millis(pauseMillis), signal)
      }
    }
  }
  return {
    get current() {
      return at(preferred)
    },
    ask,
    once,
    distrust,
    close() {
      closing.abort(new StoreError("unavailable", "the store is closed"))
      for (const endpoint of endpoints) endpoint.close()
    },
  }
}

/**
 * The first of several attempts to end. A member passes a write on to its leader and never learns
 * that it was lost with it: the first attempt may wait for ever, while a second one would succeed.
 */
function insist<T>(clock: Clock, attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const begin = (): void => void attempt().then(resolve, reject)
    const again = async (): Promise<void> => {
      while (!signal.aborted) {
        await clock.sleep(insistMillis, signal)
        begin()
      }
    }
    begin()
    again().catch(() => {}) // the signal has ended it
  })
}
