/** The codec's corners: exact numbers, nulls, keys, times, and what is refused with which words. */
import { describe, expect, test } from "bun:test"
import { FormatError, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { DocumentError, decode, encode } from "#model/codec.ts"
import { JsonError, parseJson, printJson, printJsonIndented } from "#model/json.ts"
import { KeeperInfo } from "#model/info.ts"
import { Spec } from "#model/spec.ts"

const minimal = (change: string): string =>
  `{"formatVersion":1,"changeTime":"2024-05-14T09:20:00Z","cluster":{"uid":"c","spec":{"initMode":"new"},"status":{}},"keepers":{},"dbs":{},"proxy":{}${change}}`

describe("numbers", () => {
  test("printJson(parseJson()) keeps integers beyond 2^53 and decimals that a double would change", () => {
    const text =
      '{"a":18446744073709551615,"b":-9223372036854775808,"c":1.10,"d":1e400,"e":0.5,"f":12}'
    expect(printJson(parseJson(text))).toBe(text)
  })
  test("decode() keeps a 64-bit log position exactly", () => {
    const text = minimal(',"x":18446744073709551615').replace(
      '"dbs":{}',
      '"dbs":{"d":{"uid":"d","status":{"xLogPos":18446744073709551615}}}',
    )
    const data = decodeClusterData(text)
    expect(data?.dbs.get("d" as never)?.status.xLogPos).toBe(18_446_744_073_709_551_615n as never)
    expect(encodeClusterData(data!)).toContain('"xLogPos":18446744073709551615')
    expect(encodeClusterData(data!)).toContain('"x":18446744073709551615')
  })
  test("decode() refuses a position that does not fit 64 bits", () => {
    expect(() => decode(KeeperInfo, '{"postgresState":{"xLogPos":18446744073709551616}}')).toThrow(
      "postgresState.xLogPos",
    )
  })
})

describe("strings", () => {
  test("printJson() escapes what Go escapes, and nothing else", () => {
    expect(printJson('<>&\u2028\u2029"\\\n\r\t\b\f\u0001é\u{1F600}\ud800')).toBe(
      '"\\u003c\\u003e\\u0026\\u2028\\u2029\\"\\\\\\n\\r\\t\\b\\f\\u0001é\u{1F600}\\ufffd"',
    )
  })
  test("printJsonIndented() indents with tabs and keeps empty lists and objects on a line", () => {
    expect(printJsonIndented(parseJson('{"a":[],"b":{},"c":[1,{"d":null}]}'))).toBe(
      '{\n\t"a": [],\n\t"b": {},\n\t"c": [\n\t\t1,\n\t\t{\n\t\t\t"d": null\n\t\t}\n\t]\n}',
    )
  })
})

describe("maps", () => {
  test("encode() keeps keys in byte order, digits and __proto__ included", () => {
    const text =
      '{"additionalWalSenders":null,"additionalMasterReplicationSlots":null,"pgParameters":{"10":"a","9":"b","__proto__":"c","a":"d"},"pgHBA":null,"automaticPgRestart":null}'
    expect(encode(Spec, decode(Spec, text))).toBe(text)
  })
})

describe("nulls", () => {
  test("decode() reads null as Go's zero: absent pointers, empty text, nil lists", () => {
    const spec = decode(Spec, '{"sleepInterval":null,"pgHBA":null,"pgParameters":{"x":null}}')
    expect("sleepInterval" in spec).toBe(false)
    expect(spec.pgHBA).toBe(null)
    expect(spec.pgParameters).toEqual(new Map([["x", ""]]))
  })
  test("encode() tells nil from empty lists", () => {
    expect(encode(Spec, decode(Spec, '{"pgHBA":[]}'))).toContain('"pgHBA":[]')
    expect(encode(Spec, decode(Spec, "{}"))).toContain('"pgHBA":null')
  })
})

describe("decodeClusterData()", () => {
  test("takes null for no cluster data (G10)", () => expect(decodeClusterData("null")).toBe(null))
  const refused: readonly [string, string, string][] = [
    ["another format version", '{"formatVersion":2}', "unsupported cluster data format version 2"],
    ["no format version", "{}", "unsupported cluster data format version 0"],
    [
      "a null cluster",
      minimal("").replace(/"cluster":\{.*"keepers"/, '"cluster":null,"keepers"'),
      "cluster: is missing or null",
    ],
    [
      "a null spec",
      minimal("").replace('{"initMode":"new"}', "null"),
      "cluster.spec: is missing or null",
    ],
    [
      "a null proxy",
      minimal("").replace('"proxy":{}', '"proxy":null'),
      "proxy: is missing or null",
    ],
    [
      "null keepers",
      minimal("").replace('"keepers":{}', '"keepers":null'),
      "keepers: is missing or null",
    ],
    ["null dbs", minimal("").replace('"dbs":{}', '"dbs":null'), "dbs: is missing or null"],
    [
      "a wrong type",
      minimal("").replace('"keepers":{}', '"keepers":{"k1":{"status":{"healthy":"yes"}}}'),
      'keepers.k1.status.healthy: expected true or false, not "yes"',
    ],
    [
      "a bad duration",
      minimal("").replace('"new"', '"new","sleepInterval":"5 s"'),
      'cluster.spec.sleepInterval: time: unknown unit " s" in duration "5 s"',
    ],
    ["a list", "[]", "expected an object"],
  ]
  for (const [what, text, message] of refused)
    test(`refuses ${what} and says where (D-23, D-79)`, () => {
      expect(() => decodeClusterData(text)).toThrow(message)
    })
  test("tells another format from a broken document", () => {
    expect(() => decodeClusterData('{"formatVersion":2}')).toThrow(FormatError)
    expect(() => decodeClusterData("[]")).toThrow(DocumentError)
    expect(() => decodeClusterData("{")).toThrow(JsonError)
  })
  test("matches keys without case, the later spelling wins (G3)", () => {
    for (const [keys, value] of [
      ['"FAILINTERVAL":"6s"', "6s"],
      ['"failInterval":"5s","FAILINTERVAL":"6s"', "6s"],
      ['"FAILINTERVAL":"6s","failInterval":"5s"', "5s"],
    ] as const) {
      const text = minimal("").replace('"initMode":"new"', `"initMode":"new",${keys}`)
      const again = encodeClusterData(decodeClusterData(text)!)
      expect(again.match(/"failInterval":"[^"]*"/gi)).toEqual([`"failInterval":"${value}"`])
    }
  })
})
