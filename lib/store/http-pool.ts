/**
 * Requests to a store that speaks plain HTTP (Consul, etcd's second API): every one bounded by the
 * store's timeout, which Go's client of Consul is not (D-85), and given to the next endpoint when
 * one fails (D-65).
 *
 * Two ways to ask. `ask` is for what may be repeated; `once` sends a write at most once and says
 * `unknown` when nobody can know what became of it. For that it takes a connection of its own:
 * Bun's fetch sends a request again, whatever its method, when a connection that was kept open ends
 * without an answer.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { StoreError } from "#port/store.ts"
import { linked, message, within } from "./scope.ts"

export interface HttpRequest {
  readonly method: "GET" | "PUT" | "DELETE"
  /** Below the options' root. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: string
}
/** Any answer that decides something, also 403, 404 and 409. */
export interface Reply {
  readonly kind: "reply"
  readonly status: number
  readonly body: string
  /** What the options' header says; null where there is none. */
  readonly index: bigint | null
}
export interface Unknown {
  readonly kind: "unknown"
  readonly why: string
}
type Attempt = Reply | { readonly kind: "failed"; readonly sent: boolean; readonly why: string }

export interface HttpPool {
  readonly clock: Clock
  readonly timeout: Millis
  readonly closed: AbortSignal
  ask(request: HttpRequest, signal: AbortSignal): Promise<Reply>
  once(request: HttpRequest, signal: AbortSignal): Promise<Reply | Unknown>
  /**
   * One question that may take `wait` to be answered. An answer that has begun and says nothing for
   * that long has an empty body. Throws `StoreError`.
   */
  poll(request: HttpRequest, wait: Millis, signal: AbortSignal): Promise<Reply>
}

export interface HttpOptions {
  /** What kind of server it is, for messages. */
  readonly server: string
  readonly scheme: "http" | "https"
  /** Where its API begins, with slashes. */
  readonly root: string
  /** In which an answer tells the index of the store. */
  readonly indexHeader: string
  /** What only an endpoint of use answers: one that knows who leads the servers. */
  readonly probe: HttpRequest
  /** `host:port`, at least one. */
  readonly addresses: readonly string[]
  /** Sent with each request: what tells who is asking. */
  readonly headers: Readonly<Record<string, string>>
  /** With each request, such as `ns`. */
  readonly query: Readonly<Record<string, string>>
  readonly tls: BunFetchRequestInit["tls"]
  readonly clock: Clock
  readonly timeout: Millis
  readonly closed: AbortSignal
}

/** How an attempt is made. */
interface Manner {
  /** On a connection that was kept open, if there is one. */
  readonly pooled: boolean
  readonly bound: Millis
  /** For the rest of an answer that has begun. */
  readonly wait?: Millis
}

/** An answer this young proves that an endpoint works. */
const proofMillis = 1_000
const pauseMillis = 100

export function httpPool(options: HttpOptions): HttpPool {
  const { addresses, clock, timeout, closed } = options
  let preferred = 0
  let provedAt = Number.NEGATIVE_INFINITY

  async function attempt(
    request: HttpRequest,
    { pooled, bound, wait = bound }: Manner,
    signal: AbortSignal,
  ): Promise<Attempt> {
    const at = preferred
    const address = addresses[at % addresses.length] ?? ""
    const failed = (sent: boolean, why: string): Attempt => {
      if (preferred === at) preferred = (at + 1) % addresses.length
      provedAt = Number.NEGATIVE_INFINITY
      return { kind: "failed", sent, why: `${address}: ${why}` }
    }
    try {
      return await within(clock, bound, signal, async (inTime) => {
        const response = await send(options, address, request, pooled, inTime)
        const { status, headers } = response
        const nothing = clock.sleep(wait, inTime).then(() => "")
        const body = await Promise.race([response.text(), nothing])
        if (isBusy(status)) return failed(status !== 429, statusText(status, body))
        provedAt = clock.now().mono
        return { kind: "reply", status, body, index: indexOf(headers.get(options.indexHeader)) }
      })
    } catch (error) {
      if (signal.aborted) return { kind: "failed", sent: true, why: "no answer in time" }
      return failed(wasSent(error), message(error))
    }
  }

  /** Runs `work` until its time is over; throws what `late` makes then. */
  async function bounded<T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
    late: () => T,
  ): Promise<T> {
    const scope = new AbortController()
    const releases = [linked(scope, signal), linked(scope, closed)]
    try {
      return await within(clock, timeout, scope.signal, work)
    } catch (error) {
      signal.throwIfAborted()
      if (closed.aborted) throw closed.reason
      if (error instanceof StoreError) throw error
      return late()
    } finally {
      for (const release of releases) release()
    }
  }

  const lost = (request: HttpRequest, why: string): StoreError =>
    new StoreError("unavailable", `${options.server}: ${request.method} ${request.path}: ${why}`)

  /** A connection that went dead, or an endpoint that hangs, must not cost all of the time. */
  const patience = millis(
    Math.max(Math.min(timeout, 500), Math.ceil(timeout / (addresses.length + 1))),
  )

  const ask: HttpPool["ask"] = (request, signal) => {
    let why = "no answer in time"
    return bounded(
      signal,
      async (inTime) => {
        for (;;) {
          const end = await attempt(request, { pooled: true, bound: patience }, inTime)
          if (end.kind === "reply") return end
          if (!inTime.aborted) ({ why } = end)
          await clock.sleep(millis(pauseMillis), inTime)
        }
      },
      () => {
        throw lost(request, why)
      },
    )
  }

  return {
    clock,
    timeout,
    closed,
    ask,
    once(request, signal) {
      let why = "no answer in time"
      let sent = false
      return bounded(
        signal,
        async (inTime) => {
          for (;;) {
            // so that a write that must not be repeated does not go to a dead endpoint first
            while (clock.now().mono - provedAt > proofMillis) await ask(options.probe, inTime)
            sent = true
            const end = await attempt(request, { pooled: false, bound: timeout }, inTime)
            if (end.kind === "reply") return end
            why = end.why
            if (end.sent) return { kind: "unknown", why }
            sent = false
            await clock.sleep(millis(pauseMillis), inTime)
          }
        },
        (): Unknown => {
          if (sent) return { kind: "unknown", why }
          throw lost(request, why)
        },
      )
    },
    async poll(request, wait, signal) {
      const scope = new AbortController()
      const releases = [linked(scope, signal), linked(scope, closed)]
      try {
        const manner = { pooled: true, bound: millis(wait + timeout), wait }
        const end = await attempt(request, manner, scope.signal)
        signal.throwIfAborted()
        if (end.kind === "failed") throw lost(request, end.why)
        return end
      } finally {
        for (const release of releases) release()
      }
    },
  }
}

/**
 * Several requests that are one to the caller: together they take no longer than one may. Throws
 * `StoreError` when that is over.
 */
export async function together<T>(
  { clock, timeout }: Pick<HttpPool, "clock" | "timeout">,
  doing: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new StoreError("unavailable", `${doing}: no end in time`)
  const scope = new AbortController()
  const release = linked(scope, signal)
  const late = clock.deadline(timeout, scope.signal)
  late.addEventListener("abort", () => scope.abort(over), { once: true })
  try {
    return await work(scope.signal)
  } finally {
    release()
    scope.abort(over)
  }
}

function send(
  options: HttpOptions,
  address: string,
  { method, path, query, body }: HttpRequest,
  pooled: boolean,
  signal: AbortSignal,
): Promise<Response> {
  const asked = new URLSearchParams({ ...query, ...options.query }).toString()
  return fetch(`${options.scheme}://${address}${options.root}${path}?${asked}`, {
    method,
    headers: options.headers,
    ...(body === undefined ? {} : { body }),
    ...(pooled ? {} : { keepalive: false }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    redirect: "error",
    signal,
  })
}

const isBusy = (status: number): boolean => status === 429 || status >= 500

const indexOf = (header: string | null): bigint | null =>
  header === null || !/^\d+$/.test(header) ? null : BigInt(header)

/** What fails before a request can leave. */
const unsent =
  /^(?:ConnectionRefused|FailedToOpenSocket|ECONNREFUSED|ENOTFOUND|EAI_|DNS|ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME)/
const wasSent = (error: unknown): boolean =>
  !unsent.test(error instanceof Error && "code" in error ? String(error.code) : "")

const statusText = (status: number, body: string): string =>
  `HTTP ${status}${body === "" ? "" : `: ${body.trim().slice(0, 300)}`}`

/** What the answer to a request says that cannot be used. */
export function refusal({ method, path }: HttpRequest, { status, body }: Reply): StoreError {
  const rights = status === 401 || status === 403 || status === 413
  const said = statusText(status, body)
  return new StoreError(rights ? "denied" : "unavailable", `${method} ${path}: ${said}`)
}
