/**
 * Requests to the Kubernetes API server over plain HTTP: every one bounded by the store's timeout,
 * counted, and tried again where a second application cannot harm.
 *
 * Two ways to ask. `ask` is for what may be repeated (reads, patches of what only we write); `once`
 * sends a write at most once and says `unknown` when nobody can know what became of it. Only what
 * the server surely did not take (429, a connection that never stood) is sent again by `once`.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { StoreError } from "#port/store.ts"
import type { KubeConfig } from "./kube-config.ts"
import type { Limit } from "./kube-limit.ts"
import { linked, message, orAborted, within } from "./scope.ts"

export interface KubeRequest {
  readonly method: "GET" | "PUT" | "POST" | "PATCH"
  /** Below the server, with a slash. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly type?: string
  /** The leadership depends on it: no waiting for the rate. */
  readonly urgent?: boolean
  /** Never sent twice, by nobody. Set by `once`. */
  readonly once?: boolean
}
/** Any answer that decides something, also 403, 404 and 409. */
export interface Reply {
  readonly kind: "reply"
  readonly status: number
  readonly body: unknown
}
export interface Unknown {
  readonly kind: "unknown"
  readonly why: string
}

export interface Kube {
  readonly config: KubeConfig
  readonly clock: Clock
  readonly timeout: Millis
  readonly closed: AbortSignal
  ask(request: KubeRequest, signal: AbortSignal): Promise<Reply>
  once(request: KubeRequest, signal: AbortSignal): Promise<Reply | Unknown>
  /** The lines of a stream, until it ends. Throws `StoreError`; not bounded by the timeout. */
  lines(request: KubeRequest, stands: () => void, signal: AbortSignal): AsyncGenerator<string>
  /** What the server's clock says now, in milliseconds; null before its first answer. */
  serverNow(): number | null
}

export const mergePatch = "application/merge-patch+json"

export interface KubeOptions {
  readonly config: KubeConfig
  readonly clock: Clock
  readonly timeout: Millis
  readonly limit: Limit
  readonly closed: AbortSignal
  readonly agent: string
}

/** Requests as they leave, one by one. */
interface Wire {
  send(request: KubeRequest, signal: AbortSignal): Promise<Response>
  /** Waits for its turn, and calls `begin` when the request leaves. */
  attempt(request: KubeRequest, begin: () => void, signal: AbortSignal): Promise<Attempt>
  serverNow(): number | null
}

function wireOf(options: KubeOptions): Wire {
  const { config, clock, limit } = options
  let server: { readonly date: number; readonly mono: Millis } | null = null
  /** Nobody asks before: the server said that it has too much to do. */
  let calm: Millis = clock.now().mono

  async function send(request: KubeRequest, signal: AbortSignal): Promise<Response> {
    const query = new URLSearchParams(request.query)
    const url = `${config.server}${request.path}${query.size === 0 ? "" : `?${query.toString()}`}`
    const authorization = config.authorization()
    const response = await fetch(url, {
      method: request.method,
      headers: {
        accept: "application/json",
        "user-agent": options.agent,
        ...(authorization === null ? {} : { authorization }),
        ...(request.body === undefined
          ? {}
          : { "content-type": request.type ?? "application/json" }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      tls: config.tls,
      // on a connection that was kept open Bun sends it again when that ends without an answer
      ...(request.once === true ? { keepalive: false } : {}),
      redirect: "error",
      signal,
    })
    const date = Date.parse(response.headers.get("date") ?? "")
    if (!Number.isNaN(date)) server = { date, mono: clock.now().mono }
    const patience = response.status === 429 ? retryAfter(response) : 0
    if (patience > 0) calm = millis(clock.now().mono + patience)
    return response
  }

  async function attempt(
    request: KubeRequest,
    begin: () => void,
    signal: AbortSignal,
  ): Promise<Attempt> {
    await limit(request.urgent === true, signal)
    const wait = calm - clock.now().mono
    if (wait > 0) await clock.sleep(millis(wait), signal)
    begin()
    try {
      const response = await send(request, signal)
      const text = await response.text()
      return { kind: "reply", status: response.status, body: parsed(text) }
    } catch (error) {
      if (error instanceof StoreError) throw error
      return { kind: "failed", sent: wasSent(error), why: reason(error, signal) }
    }
  }

  return {
    send,
    attempt,
    serverNow: () => (server === null ? null : server.date + (clock.now().mono - server.mono)),
  }
}

export function kubeClient(options: KubeOptions): Kube {
  const { config, clock, timeout, closed, limit } = options
  const { send, attempt, serverNow } = wireOf(options)

  /** `again` tells of an attempt without a deciding end whether there is another one. */
  async function insist(
    request: KubeRequest,
    signal: AbortSignal,
    patience: Millis,
    again: (last: Attempt) => boolean,
  ): Promise<Attempt> {
    let last: Attempt = { kind: "failed", sent: false, why: "no answer in time" }
    // what began and was not answered when its time was over may have been applied
    const begin = (): void => {
      last = { kind: "failed", sent: true, why: "no answer in time" }
    }
    const scope = new AbortController()
    const releases = [linked(scope, signal), linked(scope, closed)]
    try {
      return await within(clock, timeout, scope.signal, async (bounded) => {
        for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
          last = await within(clock, patience, bounded, (own) => attempt(request, begin, own))
          if (!again(last)) return last
          // uneven: who was refused together does not come back together
          await clock.sleep(millis(pause * (0.5 + Math.random())), bounded)
        }
      })
    } catch (error) {
      signal.throwIfAborted()
      if (closed.aborted) throw closed.reason
      if (error instanceof StoreError) throw error
      return last
    } finally {
      for (const release of releases) release()
    }
  }

  const lost = (request: KubeRequest, last: Attempt): StoreError => {
    const why = last.kind === "reply" ? statusText(last) : last.why
    return new StoreError(
      "unavailable",
      `${request.method} ${config.server}${request.path}: ${why}`,
    )
  }

  return {
    config,
    clock,
    timeout,
    closed,
    async ask(request, signal) {
      // a connection that went dead must not cost all of the time
      const patience = millis(Math.max(Math.min(timeout, 500), timeout / 2))
      let unknownName = 0
      const last = await insist(request, signal, patience, (end) => {
        if (end.kind === "failed") return true
        // the token was rotated between its reading and its arrival
        if (end.status === 401) return unknownName++ === 0
        return isBusy(end.status) || end.status >= 500
      })
      if (last.kind !== "reply" || isBusy(last.status) || last.status >= 500)
        throw lost(request, last)
      return last
    },
    async once(request, signal) {
      const last = await insist({ ...request, once: true }, signal, timeout, (end) =>
        end.kind === "failed" ? !end.sent : isBusy(end.status),
      )
      if (last.kind === "failed") {
        if (last.sent) return { kind: "unknown", why: last.why }
        throw lost(request, last)
      }
      if (isBusy(last.status)) throw lost(request, last)
      return last.status >= 500 ? { kind: "unknown", why: statusText(last) } : last
    },
    async *lines(request, stands, signal) {
      const scope = new AbortController()
      const releases = [linked(scope, signal), linked(scope, closed)]
      try {
        await limit(false, scope.signal)
        // what it brings may take long, its beginning may not
        const opened = await orAborted(
          send(request, scope.signal),
          clock.deadline(timeout, scope.signal),
        )
        if (!opened.ok) throw refusal(request, { ...(await bodyOf(opened)), kind: "reply" })
        stands()
        yield* linesOf(opened.body)
      } catch (error) {
        if (error instanceof StoreError || signal.aborted) throw error
        throw new StoreError("unavailable", `${request.path}: ${reason(error, signal)}`)
      } finally {
        for (const release of releases) release()
        scope.abort()
      }
    },
    serverNow,
  }
}

type Attempt = Reply | { readonly kind: "failed"; readonly sent: boolean; readonly why: string }

const isBusy = (status: number): boolean => status === 429

const bodyOf = async (response: Response): Promise<Omit<Reply, "kind">> => ({
  status: response.status,
  body: parsed(await response.text()),
})

/** Milliseconds; servers speak of seconds. */
function retryAfter(response: Response): number {
  const seconds = Number(response.headers.get("retry-after") ?? "")
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 30) * 1000 : 0
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function* linesOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  let rest = ""
  const decoder = new TextDecoder()
  for await (const bytes of body ?? []) {
    rest += decoder.decode(bytes, { stream: true })
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield rest.slice(0, end)
      rest = rest.slice(end + 1)
    }
  }
}

/** What fails before a request can leave. */
const unsent =
  /^(?:ConnectionRefused|FailedToOpenSocket|ECONNREFUSED|ENOTFOUND|EAI_|DNS|ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME)/
const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : ""
const wasSent = (error: unknown): boolean => !unsent.test(codeOf(error))

const reason = (error: unknown, signal: AbortSignal): string =>
  signal.aborted ? "no answer in time" : message(error)

const said = (body: unknown): string =>
  typeof body === "object" && body !== null && "message" in body ? String(body.message) : ""
const statusText = ({ status, body }: Pick<Reply, "status" | "body">): string =>
  `HTTP ${status}${said(body) === "" ? "" : `: ${said(body)}`}`

/** What the answer to a request says that cannot be used. */
export function refusal(request: Pick<KubeRequest, "method" | "path">, reply: Reply): StoreError {
  const { status } = reply
  const rights = status === 401 || status === 403 || status === 422 || status === 413
  return new StoreError(
    rights ? "denied" : "unavailable",
    `${request.method} ${request.path}: ${statusText(reply)}`,
  )
}
