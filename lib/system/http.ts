/**
 * The small HTTP endpoint of every component: `/metrics` for Prometheus, `/healthz` for whoever
 * restarts containers, and what a component has beyond that. It only reads; nothing can be
 * commanded through it.
 */
import { never } from "#base/brand.ts"
import { splitAddress } from "./address.ts"

export interface HttpOptions {
  /** `host:port`, `[v6]:port` or `:port`. */
  readonly address: string
  /** The metrics in Prometheus text format. */
  readonly metrics: () => string
  /** Why the component is not well; empty when it is. */
  readonly unhealthy: () => readonly string[]
  /** Other pages, by their path. */
  readonly pages?: Readonly<Record<string, () => Page>>
}

export type Page =
  /** 200 without reasons, else 503 and a line for each. */
  | { readonly kind: "check"; readonly reasons: readonly string[] }
  | { readonly kind: "json"; readonly value: unknown }

export interface HttpServer extends AsyncDisposable {
  /** The port listened on, also when port 0 was asked for. */
  readonly port: number
}

const textType = { "content-type": "text/plain; charset=utf-8" }
const metricsType = { "content-type": "text/plain; version=0.0.4; charset=utf-8" }

/** Listens; throws when the address cannot be had. */
export function serveHttp(options: HttpOptions): HttpServer {
  const { host, port } = splitAddress(options.address)
  const server = Bun.serve({
    ...(host === "" ? {} : { hostname: host }),
    port,
    development: false,
    // Bun 1.4.5 shares the port (SO_REUSEPORT) when `development` is off: a second process would
    // take half of the requests.
    reusePort: false,
    fetch: (request) => answer(request, options),
    error: (error) => new Response(`${error.message}\n`, { status: 500, headers: textType }),
  })
  return {
    port: server.port ?? port,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const text = (status: number, body: string): Response =>
  new Response(body, { status, headers: textType })

function answer(request: Request, { metrics, unhealthy, pages }: HttpOptions): Response {
  const { pathname } = new URL(request.url)
  const page =
    pathname === "/healthz"
      ? (): Page => ({ kind: "check", reasons: unhealthy() })
      : Object.hasOwn(pages ?? {}, pathname)
        ? pages?.[pathname]
        : undefined
  if (pathname !== "/metrics" && page === undefined) return text(404, "not found\n")
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "only GET\n")
  if (page === undefined) return new Response(metrics(), { headers: metricsType })
  const shown = page()
  switch (shown.kind) {
    case "check": {
      const { reasons } = shown
      return reasons.length === 0 ? text(200, "ok\n") : text(503, `${reasons.join("\n")}\n`)
    }
    case "json":
      return Response.json(shown.value)
    default:
      return never(shown)
  }
}
