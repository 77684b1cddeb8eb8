/** `ctl configure`: names, values, and what it shows of the change. */
import { describe, expect, test } from "bun:test"
import { decode } from "#model/codec.ts"
import { Spec } from "#model/spec.ts"
import { configure } from "#ctl/configure.ts"
import { dataDiff, specDiff } from "#ctl/diff.ts"
import { patchSpec } from "#ctl/spec.ts"
import { keeper, threeKeepers } from "./golden.ts"

const patch = (...pairs: string[]): unknown => {
  const made = configure(pairs)
  return made.kind === "patch" ? JSON.parse(made.text) : made.message
}
const spec = (json: object) => decode(Spec, JSON.stringify({ initMode: "new", ...json }))

describe("configure()", () => {
  test("types values by the table, whatever the case of the name", () => {
    expect(
      patch(
        "failinterval=30s",
        "SynchronousReplication=true",
        "maxStandbys=5",
        "failureDetection=silence",
      ),
    ).toEqual({
      failInterval: "30s",
      synchronousReplication: true,
      maxStandbys: 5,
      failureDetection: "silence",
    })
  })
  test("goes into parts with dots; parameters are text and may hold dots themselves", () => {
    expect(
      patch(
        "pgParameters.max_connections=200",
        "pgParameters.pg_stat_statements.max=10",
        "standbyConfig.standbySettings.primaryConnInfo=host=a port=5",
      ),
    ).toEqual({
      pgParameters: { max_connections: "200", "pg_stat_statements.max": "10" },
      standbyConfig: { standbySettings: { primaryConninfo: "host=a port=5" } },
    })
  })
  test("unsets with an empty value or `default`", () => {
    expect(patch("failInterval=", "maxStandbys=default", "pgParameters.work_mem=")).toEqual({
      failInterval: null,
      maxStandbys: null,
      pgParameters: { work_mem: null },
    })
  })
  test("takes lists as JSON", () => {
    expect(patch('pgHBA=["host all all all md5"]')).toEqual({ pgHBA: ["host all all all md5"] })
    expect(patch("pgHBA=host all all all md5")).toBe(
      'pgHBA: expected a JSON list such as ["a","b"]',
    )
  })
  test("names what is wrong, with the nearest real setting", () => {
    expect(patch("failIntreval=3s")).toBe(
      "failIntreval: no such setting; did you mean failInterval?",
    )
    expect(patch("newConfig.local=C")).toBe(
      "newConfig.local: no such setting; did you mean newConfig.locale?",
    )
    expect(patch("failInterval")).toBe(
      "failInterval: expected KEY=VALUE, or KEY= to go back to the default",
    )
    expect(patch("failInterval=soon")).toBe(
      'failInterval: expected a duration such as "10s" or "1m30s"',
    )
    expect(patch("maxStandbys=many")).toStartWith("maxStandbys: expected an integer")
    expect(patch("maxStandbys=70000")).toStartWith("maxStandbys: must be at most 65535")
    expect(patch("failInterval.x=1")).toBe("failInterval is one value; x is no part of it")
    expect(patch("failInterval=1s", "FailInterval=2s")).toBe("failInterval is set twice")
    expect(patch('pgParameters={"a":"b"}', "pgParameters.c=d")).toBe("pgParameters is set twice")
    expect(patch()).toStartWith("nothing to set: give KEY=VALUE; keys: sleepInterval, ")
  })
  test("makes patches that the rules of update judge", () => {
    const made = configure(["failInterval=9s", "pgParameters.work_mem=8MB"])
    if (made.kind !== "patch") throw new Error(made.message)
    const patched = patchSpec(spec({ pgParameters: { a: "b" } }), made.text, "strict")
    if (patched.kind !== "spec") throw new Error(patched.message)
    expect(patched.spec.pgParameters).toEqual(
      new Map([
        ["a", "b"],
        ["work_mem", "8MB"],
      ]),
    )
  })
})

test("specDiff() shows what goes and what comes, with defaults where nothing is set", () => {
  expect(
    specDiff(
      spec({ failInterval: "3s", maxStandbys: 4, pgParameters: { work_mem: "4MB" } }),
      spec({ failInterval: "9s", usePgrewind: true, pgParameters: { work_mem: "8MB", a: "b" } }),
    ),
  ).toBe(`- failInterval: "3s"
+ failInterval: "9s"
- maxStandbys: 4
+ maxStandbys: 20 (default)
+ pgParameters.a: "b"
- pgParameters.work_mem: "4MB"
+ pgParameters.work_mem: "8MB"
- usePgrewind: false (default)
+ usePgrewind: true
`)
  expect(specDiff(spec({}), spec({}))).toBe("")
})

test("dataDiff() shows paths of the document and leaves restless times out", () => {
  const data = threeKeepers()
  const pg3 = data.keepers.get(keeper("pg3"))!
  const failed = { ...pg3, status: { ...pg3.status, forceFail: true } }
  const next = {
    ...data,
    changeTime: "2026-01-01T00:00:00Z" as never,
    keepers: new Map(data.keepers).set(pg3.uid, failed),
  }
  expect(dataDiff(data, next)).toBe("+ keepers.pg3.status.forceFail: true\n")
  expect(dataDiff(data, data)).toBe("")
  expect(dataDiff(null, data)).toContain('+ cluster.spec.initMode: "new"\n')
})
