/** The endpoint for metrics and health, and the addresses it listens on. */
import { expect, test } from "bun:test"
import { splitAddress } from "#system/address.ts"
import { serveHttp } from "#system/http.ts"

test("serveHttp() answers metrics and health, and nothing else", async () => {
  let reasons: readonly string[] = []
  await using server = serveHttp({
    address: "127.0.0.1:0",
    metrics: () => "stolon_up 1\n",
    unhealthy: () => reasons,
  })
  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init)
    return { status: response.status, body: await response.text() }
  }
  expect(await get("/metrics")).toEqual({ status: 200, body: "stolon_up 1\n" })
  expect(await get("/healthz")).toEqual({ status: 200, body: "ok\n" })
  reasons = ["store silent for 4s", "no view"]
  expect(await get("/healthz")).toEqual({ status: 503, body: "store silent for 4s\nno view\n" })
  expect((await get("/")).status).toBe(404)
  expect((await get("/metrics", { method: "POST" })).status).toBe(405)
})

test("serveHttp() answers a component's own pages, by what they say now", async () => {
  let reasons: readonly string[] = ["no primary"]
  await using server = serveHttp({
    address: "127.0.0.1:0",
    metrics: () => "",
    unhealthy: () => [],
    pages: {
      "/readyz": () => ({ kind: "check", reasons }),
      "/targets": () => ({ kind: "json", value: { primary: null } }),
    },
  })
  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init)
    return [response.status, await response.text()]
  }
  expect(await get("/readyz")).toEqual([503, "no primary\n"])
  reasons = []
  expect(await get("/readyz")).toEqual([200, "ok\n"])
  expect(await get("/targets")).toEqual([200, '{"primary":null}'])
  expect((await get("/targets", { method: "DELETE" }))[0]).toBe(405)
  expect((await get("/constructor"))[0]).toBe(404)
})

test("serveHttp() throws when the address is taken", async () => {
  const quiet = { metrics: () => "", unhealthy: () => [] }
  await using server = serveHttp({ address: "127.0.0.1:0", ...quiet })
  expect(() => serveHttp({ address: `127.0.0.1:${server.port}`, ...quiet })).toThrow()
})

test("splitAddress() takes names, addresses, brackets and every interface", () => {
  expect(splitAddress("localhost:80")).toEqual({ host: "localhost", port: 80 })
  expect(splitAddress("[::1]:8080")).toEqual({ host: "::1", port: 8080 })
  expect(splitAddress(":9000")).toEqual({ host: "", port: 9000 })
  for (const bad of ["localhost", "1.2.3.4:", "::1:80", "h:70000", ""])
    expect(() => splitAddress(bad)).toThrow("host:port")
})
