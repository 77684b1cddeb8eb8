/**
 * Specifications as typed in our dialect: what is better than Go's. What Go's programs did with the
 * recorded ones is `spec-go.test.ts`.
 */
import { describe, expect, test } from "bun:test"
import { decode, encode } from "#model/codec.ts"
import { Spec } from "#model/spec.ts"
import { patchSpec, transition, withRecommended } from "#ctl/spec.ts"
import { specShown, specWithDefaults } from "#ctl/spec-print.ts"
import { golden } from "./golden.ts"

describe("patchSpec()", () => {
  const stored = decode(
    Spec,
    '{"initMode":"new","pgParameters":{"a":"1","b":"2"},"failInterval":"6s"}',
  )
  const patched = (patch: string): string => {
    const result = patchSpec(stored, patch, "strict")
    return result.kind === "spec" ? encode(Spec, result.spec) : result.message
  }
  test("drops nulls in a new object instead of storing empty texts", () => {
    const bare = patchSpec(
      decode(Spec, '{"initMode":"new"}'),
      '{"pgParameters":{"x":null,"y":"1"}}',
      "strict",
    )
    expect(bare.kind === "spec" ? [...bare.spec.pgParameters] : bare).toEqual([["y", "1"]])
  })
  test("takes a key whatever its case", () => {
    expect(patched('{"FailInterval":"9s"}')).toContain('"failInterval":"9s"')
  })
  test("keeps keys of a newer version that are stored", () => {
    const newer = decode(Spec, '{"initMode":"new","fromTheFuture":{"x":1}}')
    const result = patchSpec(newer, '{"failInterval":"9s"}', "strict")
    expect(result.kind === "spec" ? encode(Spec, result.spec) : "").toContain(
      '"fromTheFuture":{"x":1}',
    )
  })
  test.each([
    ['{"failIntervall":"9s"}', "the patch: failIntervall: no such key; did you mean failInterval?"],
    [
      '{"newConfig":{"local":"C"}}',
      "the patch: newConfig.local: no such key; did you mean locale?",
    ],
    ["[]", "the patch: expected a JSON object"],
    ["", "the patch: not valid JSON: the text is empty; expected a JSON object"],
    [
      '{"failInterval":"9s",}',
      'the patch: not valid JSON: unexpected "}" at line 1, column 22; expected a key in double quotes',
    ],
    [
      '{\n  "failInterval": "9s"',
      "the patch: not valid JSON: it ends too early, at line 2, column 23; expected a comma or }",
    ],
    [
      '{"failInterval":"9s"} x',
      'the patch: not valid JSON: unexpected "x" at line 1, column 23; expected nothing more after the value',
    ],
    [
      '{"failInterval":"9"}',
      'the patched specification: failInterval: expected a duration such as "10s" or "1m30s", not "9"',
    ],
    [
      '{"maxStandbys":70000}',
      "the patched specification: maxStandbys: must be at most 65535, not 70000",
    ],
  ])("refuses %s and names path, value and rule", (patch, message) => {
    expect(patched(patch)).toBe(message)
  })
})

test("transition() says which value broke the rule, and whether it is a default", () => {
  const stored = decode(Spec, '{"initMode":"new"}')
  const next = (text: string): string | null => transition(stored, decode(Spec, text), "strict")
  expect(next('{"initMode":"new","maxStandbys":0}')).toBe(
    "invalid cluster spec: maxStandbys must be at least 1 (it is 0)",
  )
  expect(next('{"initMode":"new","proxyTimeout":"5s"}')).toBe(
    'invalid cluster spec: proxyCheckInterval should be less than proxyTimeout (it is "5s", the default)',
  )
  expect(next('{"initMode":"existing","existingConfig":{"keeperUID":"k"}}')).toBe(
    "cannot change cluster init mode",
  )
  expect(next('{"initMode":"new"}')).toBeNull()
})

describe("withRecommended()", () => {
  const extended = (text: string): string => encode(Spec, withRecommended(decode(Spec, text)))
  const always = '"additionalWalSenders":null,"additionalMasterReplicationSlots":null'
  const tail =
    '"pgHBA":null,"automaticPgRestart":null,"selfFencing":true,"failureDetection":"evidence"}'
  test("adds the pinned settings to an empty one", () => {
    expect(extended('{"initMode":"new"}')).toBe(
      `{"sleepInterval":"1s","requestTimeout":"2s","failInterval":"3s","proxyCheckInterval":"1s","proxyTimeout":"3s",${always},"usePgrewind":true,"initMode":"new",${tail}`,
    )
  })
  test("keeps every value of the user's, false too", () => {
    const text = extended(
      '{"initMode":"new","failInterval":"9s","usePgrewind":false,"selfFencing":false}',
    )
    expect(text).toContain('"failInterval":"9s"')
    expect(text).toContain('"usePgrewind":false')
    expect(text).toContain('"selfFencing":false')
  })
  test("leaves out what would break a rule beside the user's values", () => {
    const text = extended('{"initMode":"new","proxyCheckInterval":"4s"}')
    expect(text).not.toContain("proxyTimeout")
    expect(text).toContain('"sleepInterval":"1s"')
  })
  test("does not pair a short failInterval with the user's long rounds", () => {
    expect(extended('{"initMode":"new","sleepInterval":"5s"}')).not.toContain("failInterval")
  })
  test("helps a value that Go's defaults would not allow", () => {
    expect(extended('{"initMode":"new","proxyTimeout":"2s"}')).toContain(
      '"proxyCheckInterval":"1s"',
    )
  })
})

describe("spec printing", () => {
  const live = JSON.parse(golden("clusterdata.json")).cluster.spec
  const plain = decode(Spec, '{"initMode":"new"}')
  test("specShown() prints the recorded bytes", () => {
    expect(specShown(plain)).toBe(golden("spec-plain.json"))
    expect(specShown(decode(Spec, JSON.stringify(live)))).toBe(golden("spec-live.json"))
  })
  test("specWithDefaults() prints the recorded bytes", () => {
    expect(specWithDefaults(plain)).toBe(golden("spec-defaults.json"))
    expect(specWithDefaults(decode(Spec, JSON.stringify(live)))).toBe(
      golden("spec-defaults-live.json"),
    )
  })
  test("specShown() shows an explicit false and zero and hides empty lists", () => {
    const spec = decode(
      Spec,
      '{"initMode":"new","usePgrewind":false,"minSynchronousStandbys":0,"pgHBA":[]}',
    )
    expect(JSON.parse(specShown(spec))).toEqual({
      initMode: "new",
      usePgrewind: false,
      minSynchronousStandbys: 0,
    })
  })
})
