/**
 * The scanner that says where a text stops being JSON, and Go's words for it and for wrong types.
 */
import { describe, expect, test } from "bun:test"
import { generator } from "#base/random.ts"
import { ClusterData } from "#model/cluster.ts"
import { DocumentError, decodeJson } from "#model/codec.ts"
import { goDecodeError, goSyntaxError } from "#model/go-error.ts"
import { describeTrouble, scanFirst, scanJson } from "#model/json-scan.ts"
import { JsonError, parseJson } from "#model/json.ts"
import { Spec } from "#model/spec.ts"

/** Go's scanner at each place where it can stop. */
const stops: readonly (readonly [string, string])[] = [
  ["", "unexpected end of JSON input"],
  ["tru", "unexpected end of JSON input"],
  ['"a', "unexpected end of JSON input"],
  ["-", "unexpected end of JSON input"],
  ['{"a"', "unexpected end of JSON input"],
  ["é", "invalid character 'Ã' looking for beginning of value"],
  ["truth", "invalid character 't' in literal true (expecting 'e')"],
  ["nil", "invalid character 'i' in literal null (expecting 'u')"],
  ["01", "invalid character '1' after top-level value"],
  ["[01]", "invalid character '1' after array element"],
  ['{"a":01}', "invalid character '1' after object key:value pair"],
  ["-x", "invalid character 'x' in numeric literal"],
  ["1.x", "invalid character 'x' after decimal point in numeric literal"],
  ["1e+x", "invalid character 'x' in exponent of numeric literal"],
  ['"a\nb"', String.raw`invalid character '\n' in string literal`],
  [String.raw`"\x"`, "invalid character 'x' in string escape code"],
  [String.raw`"\u00g"`, String.raw`invalid character 'g' in \u hexadecimal character escape`],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"}', `invalid character '"' after object key:value pair`],
  ["[1 2]", "invalid character '2' after array element"],
  ["[,]", "invalid character ',' looking for beginning of value"],
  ["[1,]", "invalid character ']' looking for beginning of value"],
  ["{,}", "invalid character ',' looking for beginning of object key string"],
  ["{} {}", "invalid character '{' after top-level value"],
  ["[".repeat(10_001), "exceeded max depth"],
]

test.each(stops)("scanJson() stops in %s where Go stops", (text, told) => {
  const scanned = scanJson(text)
  expect("where" in scanned ? goSyntaxError(scanned) : "no error").toBe(told)
})

test("describeTrouble() counts lines and columns from one", () => {
  const text = '{\n  "é": 1,\n  b: 2\n}'
  const scanned = scanJson(text)
  expect("where" in scanned ? describeTrouble(text, scanned) : "").toBe(
    'unexpected "b" at line 3, column 3; expected a key in double quotes',
  )
})

test("scanFirst() takes the first value and leaves the rest alone", () => {
  expect(scanFirst(' {"a":[1]} rest')).toMatchObject({ kind: "object", raw: '{"a":[1]}' })
})

describe("goDecodeError()", () => {
  test.each([
    // the first wrong type is told, decoding goes on
    [
      '{"maxStandbys":"x","role":1}',
      "json: cannot unmarshal string into Go struct field ClusterSpec.maxStandbys of type uint16",
    ],
    // but a wrong duration ends it at once, wherever it stands
    ['{"maxStandbys":"x","failInterval":"1"}', 'time: missing unit in duration "1"'],
    [
      '{"pitrConfig":{"recoveryTargetSettings":{"recoveryTargetXid":7}}}',
      "json: cannot unmarshal number into Go struct field RecoveryTargetSettings.pitrConfig.recoveryTargetSettings.recoveryTargetXid of type string",
    ],
    ['{"FAILINTERVAL":"x"}', 'time: invalid duration "x"'],
    ['{"failInterval":"1µ"}', String.raw`time: unknown unit "\xc2\xb5" in duration "1\xc2\xb5"`],
    ['{"nosuch":{"a":[1,"x"]},"maxStandbys":null,"sleepInterval":null}', null],
  ])("of %s", (text, told) => expect(goDecodeError(text, Spec.go)).toBe(told))

  test("refuses a null where Go's duration is no pointer (G13)", () => {
    const text = '{"dbs":{"d":{"spec":{"requestTimeout":null}}}}'
    expect(goDecodeError(text, ClusterData.go)).toBe('time: invalid duration "null"')
  })
})

/** A specification with something small wrong or strange in it. */
function mutated(seed: number): string {
  const random = generator(seed)
  const base =
    '{"initMode":"new","sleepInterval":"2s","maxStandbys":7,"pgHBA":["a",null],"pgParameters":{"x":"1"},"newConfig":{"locale":"C","dataChecksums":true},"automaticPgRestart":false,"maxStandbyLag":1}'
  const pieces = ["null", "1", "-0", "1e2", '"', "{", "}", "[", "]", ",", ":", "true", '"5s"', " "]
  let text = base
  for (let i = random.below(3); i >= 0; i--) {
    const at = random.below(text.length)
    const piece = pieces[random.below(pieces.length)] ?? ""
    text = `${text.slice(0, at)}${piece}${text.slice(at + random.below(4))}`
  }
  return text
}

test("scanner and decoder agree with JSON.parse and with our codec on 3,000 mutated texts", () => {
  let refused = 0
  for (let seed = 0; seed < 3000; seed++) {
    const text = mutated(seed)
    const parses = outcome(() => parseJson(text))
    const context = `seed ${seed}: ${text}`
    expect("where" in scanJson(text) ? "json" : "fine", context).toBe(parses)
    const decodes = parses === "fine" ? outcome(() => decodeJson(Spec, parseJson(text))) : parses
    // null is Go's, and not ours
    if (parses === "fine" && parseJson(text) === null) continue
    expect(goDecodeError(text, Spec.go) === null ? "fine" : "refused", context).toBe(
      decodes === "fine" ? "fine" : "refused",
    )
    if (decodes !== "fine") refused++
  }
  expect(refused).toBeGreaterThan(500)
  expect(refused).toBeLessThan(2950)
})

function outcome(work: () => unknown): "fine" | "json" | "document" {
  try {
    work()
    return "fine"
  } catch (error) {
    if (error instanceof JsonError) return "json"
    if (error instanceof DocumentError) return "document"
    throw error
  }
}
