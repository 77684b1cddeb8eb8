/** What `--peer-listen-address` means. */
import { expect, test } from "bun:test"
import { peerPlace } from "#cli/peer.ts"

test("peerPlace() takes a host, a port, both or neither", () => {
  const at = (host: string, port: number) => ({ kind: "at", host, port }) as const
  expect(peerPlace("", "stolon")).toEqual(at("", 0))
  expect(peerPlace(":7431", "stolon")).toEqual(at("", 7431))
  expect(peerPlace("10.0.0.1", "stolon")).toEqual(at("10.0.0.1", 0))
  expect(peerPlace("db1.example:7431", "stolon")).toEqual(at("db1.example", 7431))
  expect(peerPlace("[::1]:7431", "stolon")).toEqual(at("::1", 7431))
  expect(peerPlace("[::1]", "stolon")).toEqual(at("::1", 0))
  expect(peerPlace("0.0.0.0:0", "stolon")).toEqual(at("0.0.0.0", 0))
  expect(peerPlace("off", "stolon")).toEqual({ kind: "off" })
})

test("peerPlace() refuses what it cannot read", () => {
  for (const text of ["::1", "a b", "host:", "host:port", "host:70000", "[x]:1", "http://h:1"])
    expect([text, peerPlace(text, "stolon")]).toEqual([text, null])
})

test("peerPlace() is off under a Go name", () => {
  for (const text of ["", "off", "10.0.0.1:7431", "::"])
    expect(peerPlace(text, "go")).toEqual({ kind: "off" })
})
