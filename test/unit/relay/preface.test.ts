/** What load balancers say before the client does, and what strangers may say in its place. */
import { expect, test } from "bun:test"

import { preface } from "#relay/preface.ts"

const text = (words: string): Uint8Array => new TextEncoder().encode(words)
const v2 = (command: number, family: number, body: readonly number[], rest = ""): Uint8Array =>
  Uint8Array.from([
    ...text("\r\n\r\n\0\r\nQUIT\n"),
    0x20 | command,
    family,
    body.length >> 8,
    body.length & 255,
    ...body,
    ...text(rest),
  ])
const ipv4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdd, 0xd5, 0x15, 0x38]
const ipv6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]

const whole: readonly (readonly [string, Uint8Array, string])[] = [
  ["v1, IPv4", text("PROXY TCP4 192.0.2.7 10.0.0.1 56789 5432\r\n"), "192.0.2.7:56789"],
  ["v1, IPv6", text("PROXY TCP6 2001:db8::7 ::1 56789 5432\r\n"), "[2001:db8::7]:56789"],
  ["v1, not known", text("PROXY UNKNOWN\r\n"), ""],
  ["v1, not known, with words", text("PROXY UNKNOWN ffff:: ffff:: 1 2\r\n"), ""],
  ["v2, IPv4", v2(1, 0x11, ipv4), "192.0.2.7:56789"],
  ["v2, IPv4 and more behind", v2(1, 0x11, [...ipv4, 4, 0, 1, 0]), "192.0.2.7:56789"],
  [
    "v2, IPv6",
    v2(1, 0x21, [...ipv6, ...ipv6, 0xdd, 0xd5, 0x15, 0x38]),
    "[2001:db8:0:0:0:0:0:7]:56789",
  ],
  ["v2, a health check", v2(0, 0, []), ""],
  [
    "v2, a unix socket",
    v2(
      1,
      0x31,
      Array.from({ length: 216 }, () => 0),
    ),
    "",
  ],
]

for (const [name, bytes, source] of whole)
  test(`D-61 preface() reads ${name}, however it is cut, and nothing behind it`, () => {
    const found = { kind: "whole", length: bytes.byteLength, source } as const
    expect(preface(bytes)).toEqual(found)
    expect(preface(Uint8Array.from([...bytes, 0, 0, 0, 8]))).toEqual(found)
    for (let end = 0; end < bytes.byteLength; end++)
      expect(preface(bytes.subarray(0, end))).toEqual({ kind: "partial" })
  })

const none: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["a PostgreSQL client", Uint8Array.from([0, 0, 0, 8, 4, 210, 22, 47]), /no PROXY/],
  ["a web browser", text("GET / HTTP/1.1\r\n"), /no PROXY/],
  ["almost the word", text("PROXX TCP4"), /no PROXY/],
  ["a line without an end", text(`PROXY ${"1".repeat(200)}`), /does not end/],
  ["a line without its return", text("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), /makes no sense/],
  ["words that are no addresses", text("PROXY TCP4 me you 1 2\r\n"), /makes no sense/],
  ["another version", v2(0x31, 0x11, ipv4), /version/],
  ["another command", v2(2, 0x11, ipv4), /version/],
  ["addresses that are too short", v2(1, 0x11, [1, 2, 3, 4]), /too short/],
  [
    "a body without an end",
    v2(
      1,
      0x11,
      Array.from({ length: 9_000 }, () => 0),
    ),
    /too long/,
  ],
]

for (const [name, bytes, why] of none)
  test(`preface() takes ${name} for no header`, () => {
    const found = preface(bytes)
    expect(found.kind).toBe("none")
    expect(found.kind === "none" ? found.why : "").toMatch(why)
  })
