/**
 * Every field of the specification (reference 2.1), from one table: how it is decoded, encoded,
 * left out, defaulted, refused, patched, and that it may change. Rules across fields are compared
 * with Go's in `test/unit/ctl/spec-go.test.ts`.
 */
import { describe, expect, test } from "bun:test"
import { decode, encode } from "#model/codec.ts"
import { goDecodeError } from "#model/go-error.ts"
import { Spec, defaults, fields, withDefaults } from "#model/spec.ts"
import { patchSpec, transition } from "#ctl/spec.ts"
import { specShown, specWithDefaults } from "#ctl/spec-print.ts"

/** Key, a value, another one, the default, and Go's name of the type. */
type Row = readonly [key: string, one: string, two: string, fallback: string | null, type: string]

const span = (key: string, fallback: string): Row => [key, '"7s"', '"1m30s"', fallback, "duration"]
const rows: readonly Row[] = [
  ["sleepInterval", '"2s"', '"3s"', '"5s"', "duration"],
  span("requestTimeout", '"10s"'),
  span("convergenceTimeout", '"30s"'),
  span("initTimeout", '"5m0s"'),
  span("syncTimeout", '"0s"'),
  span("dbWaitReadyTimeout", '"1m0s"'),
  span("failInterval", '"20s"'),
  span("deadKeeperRemovalInterval", '"48h0m0s"'),
  ["proxyCheckInterval", '"2s"', '"3s"', '"5s"', "duration"],
  span("proxyTimeout", '"15s"'),
  ["maxStandbys", "7", "65535", "20", "uint16"],
  ["maxStandbysPerSender", "7", "65535", "3", "uint16"],
  ["maxStandbyLag", "0", "4294967295", "1232896", "uint32"],
  ["synchronousReplication", "true", "false", "false", "bool"],
  ["minSynchronousStandbys", "0", "1", "1", "uint16"],
  ["maxSynchronousStandbys", "2", "65535", "1", "uint16"],
  ["additionalWalSenders", "7", "0", "5", "uint16"],
  ["additionalMasterReplicationSlots", '["a","b_1"]', "[]", "null", "[]string"],
  ["usePgrewind", "true", "false", "false", "bool"],
  ["initMode", '"new"', '"new"', null, "cluster.ClusterInitMode"],
  ["mergePgParameters", "false", "true", "true", "bool"],
  ["role", '"master"', '"master"', '"master"', "cluster.ClusterRole"],
  ["newConfig", '{"locale":"C","dataChecksums":true}', "{}", null, "cluster.NewConfig"],
  [
    "pitrConfig",
    '{"dataRestoreCommand":"r","archiveRecoverySettings":{"restoreCommand":"a"},"recoveryTargetSettings":{"recoveryTargetLsn":"0/1"}}',
    "{}",
    null,
    "cluster.PITRConfig",
  ],
  ["existingConfig", '{"keeperUID":"k1"}', "{}", null, "cluster.ExistingConfig"],
  [
    "standbyConfig",
    '{"standbySettings":{"primaryConninfo":"host=a","primarySlotName":"s","recoveryMinApplyDelay":"1min"}}',
    "{}",
    null,
    "cluster.StandbyConfig",
  ],
  ["defaultSUReplAccessMode", '"strict"', '"all"', '"all"', "cluster.SUReplAccessMode"],
  ["pgParameters", '{"a":"1","b":""}', '{"c":"3"}', null, "cluster.PGParameters"],
  ["pgHBA", '["host all all 0.0.0.0/0 md5"]', "[]", "null", "[]string"],
  ["automaticPgRestart", "true", "false", "false", "bool"],
]
/** Beyond Go (protocol part 8). */
const ours = ["selfFencing", "fencingLease", "failureDetection"]
const always = [
  "additionalWalSenders",
  "additionalMasterReplicationSlots",
  "pgHBA",
  "automaticPgRestart",
]

/** `{"initMode":"new"}` and one field. */
const withField = (key: string, value: string): string =>
  key === "initMode"
    ? `{"initMode":${value}}`
    : `{"initMode":"new",${JSON.stringify(key)}:${value}}`
const members = (text: string): Readonly<Record<string, unknown>> => JSON.parse(text)
const plain = encode(Spec, decode(Spec, '{"initMode":"new"}'))

test("the table names every field, in the order in which Go writes them", () => {
  expect(Object.keys(fields).filter((key) => !ours.includes(key))).toEqual(rows.map(([key]) => key))
})

describe.each(rows)("%s", (key, one, two, fallback, type) => {
  test("is stored as typed, in its place, and read whatever the case of its key", () => {
    for (const value of [one, two]) {
      const text = encode(Spec, decode(Spec, withField(key, value)))
      expect(text).toContain(`${JSON.stringify(key)}:${value}`)
      const order = Object.keys(members(text))
      expect(order).toEqual(rows.map(([name]) => name).filter((name) => order.includes(name)))
      expect(order.toSorted()).toEqual([...new Set([...always, "initMode", key])].toSorted())
      const shouted = withField(key.toUpperCase(), value)
      expect(encode(Spec, decode(Spec, shouted))).toBe(text)
    }
  })

  test("is left out while unset, or null where Go writes null", () => {
    if (key !== "initMode") expect(encode(Spec, decode(Spec, withField(key, "null")))).toBe(plain)
    expect(members(plain)[key]).toEqual(
      always.includes(key) ? null : key === "initMode" ? "new" : undefined,
    )
  })

  test("has Go's default, and `spec --defaults` shows it", () => {
    const shown = members(specWithDefaults(decode(Spec, '{"initMode":"new"}')))
    const expected = key === "initMode" ? "new" : JSON.parse(fallback ?? "null")
    expect(shown[key]).toEqual(expected)
    const full = encode(Spec, { ...decode(Spec, "{}"), ...withDefaults(decode(Spec, "{}")) })
    expect(members(full)[key] ?? null).toEqual(JSON.parse(fallback ?? "null"))
  })

  test("keeps an explicit value equal to the default, and `spec` shows it", () => {
    const value = fallback === null || fallback === "null" ? one : fallback
    const spec = decode(Spec, withField(key, value))
    expect(members(specShown(spec))[key]).toEqual(JSON.parse(value))
  })

  test("refuses another type, where and what in our words, and in Go's", () => {
    const wrong = type === "bool" ? '"yes"' : type.startsWith("uint") ? '"7"' : "7"
    expect(() => decode(Spec, withField(key, wrong))).toThrow(`${key}: `)
    const told = goDecodeError(withField(key, wrong), Spec.go)
    if (type === "duration") expect(told).toBe('time: missing unit in duration "7"')
    else
      expect(told).toBe(
        `json: cannot unmarshal ${wrong === "7" ? "number" : "string"} into Go struct field ClusterSpec.${key} of type ${type}`,
      )
  })

  test("may change at any time, and is set and removed by a patch", () => {
    const before = decode(Spec, withField(key, one))
    const after = decode(Spec, withField(key, two))
    expect(transition(before, after, "strict")).toBeNull()
    for (const manner of ["go", "strict"] as const) {
      const set = patchSpec(decode(Spec, '{"initMode":"new"}'), withField(key, one), manner)
      expect(set.kind === "spec" ? encode(Spec, set.spec) : set).toBe(encode(Spec, before))
      if (key === "initMode") continue
      const removed = patchSpec(before, `{${JSON.stringify(key)}:null}`, manner)
      expect(removed.kind === "spec" ? encode(Spec, removed.spec) : removed).toBe(plain)
    }
  })
})

describe("transitions that are refused", () => {
  const existing = '"initMode":"existing","existingConfig":{"keeperUID":"k"}'
  const standby = '"role":"standby","standbyConfig":{}'
  test.each([
    [`{${existing}}`, '{"initMode":"new"}', "cannot change cluster init mode"],
    [
      `{${existing}}`,
      `{${existing},${standby}}`,
      "cannot update a cluster from master role to standby role",
    ],
  ])("%s to %s", (before, after, message) => {
    expect(transition(decode(Spec, before), decode(Spec, after), "strict")).toBe(message)
  })
  test("but a standby cluster may be promoted, by word or by dropping the role", () => {
    const before = decode(Spec, `{${existing},${standby}}`)
    for (const after of [`{${existing}}`, `{${existing},"role":"master","standbyConfig":{}}`])
      expect(transition(before, decode(Spec, after), "strict")).toBeNull()
  })
})

test("maxStandbyLag's default is what Go's code says, not its documentation", () => {
  expect(defaults.maxStandbyLag).toBe(1_232_896)
})
