/**
 * Between a client and a real API server: passes every request on, and does to some what happens on
 * bad days. The server stays real; what it cannot be made to do at will (429, 500, 410, an answer
 * lost after the write was applied) is done here.
 */
import type { KubeServer } from "./kube-server.ts"

export type Fate =
  | { readonly kind: "pass" }
  /** The server does it, the client never hears. */
  | { readonly kind: "lose" }
  /** The server never hears. */
  | { readonly kind: "hang" }
  | { readonly kind: "answer"; readonly response: () => Response }

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
}
export interface KubeRelay extends AsyncDisposable {
  /** A kubeconfig that leads here. */
  kubeconfig(token: string): string
  /** What becomes of each request; asked once for each. */
  set(fate: (asked: Asked) => Fate): void
  readonly seen: readonly Asked[]
  /** Ends all streams that are open. */
  cut(): void
}

export const pass: Fate = { kind: "pass" }
/** The server's own form of refusing. */
export const failing = (
  code: number,
  message: string,
  headers: Record<string, string> = {},
): Fate => ({
  kind: "answer",
  response: () =>
    Response.json(
      { kind: "Status", apiVersion: "v1", status: "Failure", code, message },
      { status: code, headers },
    ),
})

export async function startRelay(server: KubeServer): Promise<KubeRelay> {
  const ca = await Bun.file(server.authority.cert).text()
  const seen: Asked[] = []
  let fate: (asked: Asked) => Fate = () => pass
  let cutting = new AbortController()
  const forward = async (request: Request, signal: AbortSignal): Promise<Response> => {
    const { pathname, search } = new URL(request.url)
    const headers = new Headers(request.headers)
    headers.delete("host")
    const body = request.method === "GET" ? {} : { body: await request.arrayBuffer() }
    const answer = await fetch(`https://127.0.0.1:${server.port}${pathname}${search}`, {
      method: request.method,
      headers,
      ...body,
      tls: { ca },
      decompress: true,
      signal,
    })
    const kept = new Headers(answer.headers)
    for (const name of ["content-encoding", "content-length", "transfer-encoding"])
      kept.delete(name)
    return new Response(quietly(answer.body), { status: answer.status, headers: kept })
  }
  const http = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url)
      const asked = { method: request.method, path: pathname, query: searchParams }
      seen.push(asked)
      const what = fate(asked)
      const gone = new Promise<never>((_, reject) =>
        request.signal.addEventListener("abort", () => reject(new Error("the client has gone"))),
      )
      gone.catch(() => {})
      switch (what.kind) {
        case "answer":
          return what.response()
        case "hang":
          return gone
        case "lose":
          await (await forward(request, new AbortController().signal)).text()
          return gone
        case "pass":
          return forward(request, AbortSignal.any([cutting.signal, request.signal])).catch(
            () => new Response("cut", { status: 502 }),
          )
      }
    },
  })
  return {
    kubeconfig: (token) => server.kubeconfig({ token }, http.port, "http"),
    set(next) {
      fate = next
    },
    seen,
    cut() {
      cutting.abort()
      cutting = new AbortController()
    },
    async [Symbol.asyncDispose]() {
      cutting.abort()
      await http.stop(true)
    },
  }
}

/** Ends where its source breaks off. */
function quietly(source: ReadableStream<Uint8Array> | null): ReadableStream<Uint8Array> {
  const reader = source?.getReader()
  return new ReadableStream({
    async pull(controller) {
      const next = await reader?.read().catch(() => undefined)
      if (next?.value === undefined) controller.close()
      else controller.enqueue(next.value)
    },
    cancel: () => reader?.cancel().catch(() => undefined),
  })
}
