/** Where `--peer-listen-address` leads to: what is listened on, and what others are told. */
import { expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { addressTowards, openEndpoint } from "#cmd/peers.ts"
import { peers } from "#peer/ask.ts"
import type { StoreSettings } from "#port/store.ts"

const choice = {
  typed: "",
  dialect: "stolon",
  advertise: async () => "127.0.0.1",
  password: "secret",
} as const
const forever = new AbortController().signal
const asks = peers({ password: "" })
const opens = (address: string): Promise<string> => asks.knock(address, millis(2_000), forever)

test("openEndpoint() takes a free port at the advertised address by default", async () => {
  await using there = await openEndpoint(choice)
  expect(there.address).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(await opens(there.address)).toBe("open")
})

test("openEndpoint() keeps to the port and the host that are named", async () => {
  await using first = await openEndpoint({ ...choice, typed: "127.0.0.2" })
  expect(first.address).toMatch(/^127\.0\.0\.2:\d+$/)
  const port = first.address.split(":")[1]
  await using second = await openEndpoint({ ...choice, typed: `:${port}` })
  expect(second.address).toBe(`127.0.0.1:${port}`)
})

test("openEndpoint() advertises no wildcard, and no name that only this machine resolves so", async () => {
  await using all = await openEndpoint({ ...choice, typed: "0.0.0.0:0" })
  expect(all.address).toMatch(/^127\.0\.0\.1:\d+$/)
  await using named = await openEndpoint({ ...choice, advertise: async () => "localhost" })
  expect(named.address).toMatch(/^localhost:\d+$/)
  expect(await opens(named.address.replace("localhost", "127.0.0.3"))).toBe("open")
})

test("openEndpoint() listens everywhere when the advertised address belongs to somebody else", async () => {
  await using there = await openEndpoint({ ...choice, advertise: async () => "192.0.2.250" })
  expect(there.address).toMatch(/^192\.0\.2\.250:\d+$/)
  expect(await opens(there.address.replace("192.0.2.250", "127.0.0.1"))).toBe("open")
})

test("openEndpoint() is off when asked for, and under a Go name", async () => {
  expect((await openEndpoint({ ...choice, typed: "off" })).address).toBe("")
  expect((await openEndpoint({ ...choice, dialect: "go" })).address).toBe("")
})

test("openEndpoint() says which flag it cannot follow", async () => {
  await using there = await openEndpoint(choice)
  const again = openEndpoint({ ...choice, typed: there.address })
  await expect(again).rejects.toThrow(`at ${there.address} (--peer-listen-address): `)
})

test("addressTowards() stays on this machine for sqlite, and names no loopback for a store elsewhere", async () => {
  const store = (backend: StoreSettings["backend"], ...endpoints: string[]): StoreSettings => ({
    clusterName: "c",
    backend,
    endpoints,
    prefix: "p",
    timeout: millis(1),
    tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
    user: "",
    password: "",
  })
  expect(await addressTowards(store("sqlite", "/tmp/store.db"))).toBe("127.0.0.1")
  // beside an etcd of this machine others may be elsewhere, if there is a net to be elsewhere in
  const beside = await addressTowards(store("etcdv3", "http://127.0.0.1:2379", "http://[::1]:2379"))
  const unknown = await addressTowards(store("etcdv3", "http://no-such-host.invalid:2379"))
  expect(unknown).toBe(beside)
})
