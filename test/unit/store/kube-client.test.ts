/** Requests to the API server: what is bounded, counted, and sent again. */
import { describe, expect, test } from "bun:test"
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { kubeClient } from "#store/kube-client.ts"
import { limit } from "#store/kube-limit.ts"
import { realClock } from "#system/clock.ts"

const never = new AbortController().signal

/** A clock that stands still but for those who sleep. */
function sleeper(): Clock & { readonly slept: Millis[] } {
  let mono = millis(0)
  const slept: Millis[] = []
  return {
    slept,
    now: () => ({ ...realClock.now(), mono }),
    async sleep(ms) {
      slept.push(ms)
      mono = millis(mono + ms)
    },
    deadline: (_, signal) => signal,
  }
}

describe("limit()", () => {
  test("lets a burst pass, then so many a second, and never makes the leadership wait", async () => {
    const clock = sleeper()
    const pass = limit(clock, { perSecond: 10, burst: 3 })
    for (let i = 0; i < 3; i++) await pass(false, never)
    expect(clock.slept).toEqual([])
    await pass(true, never)
    expect(clock.slept).toEqual([])
    await pass(false, never)
    expect(clock.slept).toEqual([millis(200)]) // the urgent one counts, too
    await pass(false, never)
    expect(clock.slept).toEqual([millis(200), millis(100)])
  })
})

describe("kubeClient()", () => {
  const client = (server: string, authorization: () => string | null = () => null) =>
    kubeClient({
      config: { server, namespace: "n", tls: { rejectUnauthorized: true }, authorization },
      clock: realClock,
      timeout: millis(1000),
      limit: limit(realClock),
      closed: never,
      agent: "stolon",
    })
  const serve = (answer: (request: Request) => Response | Promise<Response>) =>
    Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer })
  const address = (http: { readonly port: number | undefined }) => `http://127.0.0.1:${http.port}`

  test("asks once more with the token as it is now when one was refused", async () => {
    const tokens = ["Bearer old", "Bearer new"]
    const heard: (string | null)[] = []
    await using http = serve((request) => {
      heard.push(request.headers.get("authorization"))
      return new Response("{}", { status: heard.length === 1 ? 401 : 200 })
    })
    const kube = client(address(http), () => tokens.shift() ?? "Bearer other")
    expect((await kube.ask({ method: "GET", path: "/" }, never)).status).toBe(200)
    expect(heard).toEqual(["Bearer old", "Bearer new"])
  })

  test("once() sends again what never reached a server, and nothing else", async () => {
    const http = serve(() => new Response("{}"))
    const gone = address(http)
    await http.stop(true)
    const start = performance.now()
    const lost = client(gone).once({ method: "PUT", path: "/x", body: {} }, never)
    expect(await lost.catch((error: unknown) => error)).toMatchObject({ code: "unavailable" })
    expect(performance.now() - start).toBeGreaterThan(500) // it was patient
    let count = 0
    await using broken = serve(() => {
      count++
      return new Response("gateway", { status: 504 })
    })
    const reply = await client(address(broken)).once({ method: "PUT", path: "/x" }, never)
    expect(reply).toEqual({ kind: "unknown", why: "HTTP 504" })
    expect(count).toBe(1)
  })

  test("knows the server's clock from its answers", async () => {
    const date = new Date("2020-01-02T03:04:05Z")
    await using http = serve(() => new Response("{}", { headers: { date: date.toUTCString() } }))
    const kube = client(address(http))
    expect(kube.serverNow()).toBeNull()
    await kube.ask({ method: "GET", path: "/" }, never)
    const seen = kube.serverNow() ?? 0
    expect(Math.abs(seen - date.getTime())).toBeLessThan(2000)
  })
})
