/**
 * What differs between PostgreSQL's versions, as far as the generated files go: names that came and
 * went, what PostgreSQL says it would not start with, sizes that depend on the segments.
 */
import { describe, expect, test } from "bun:test"
import { parseConf } from "#keeper/conf.ts"
import { desire } from "#keeper/desire.ts"
import { refusal, rows } from "#keeper/parameters.ts"
import { type Scene, ignoredParameters, render, renderTemporary } from "#keeper/render.ts"
import type { BinaryVersion } from "#model/cluster.ts"
import type { Local } from "#model/local.ts"
import { boot, db, me, settings, view } from "./build.ts"
import { emptyMachine, observe } from "./model.ts"

const version = (Maj: number): BinaryVersion => ({ Maj, Min: 1 })

function scene(pgParameters: Readonly<Record<string, string>>, change: Partial<Local> = {}): Scene {
  const own = db("db1", { pgParameters: new Map(Object.entries(pgParameters)) })
  const want = desire(view({ dbs: [own] }), { uid: me, boot, certificate: null })
  if (want.kind !== "run") throw new Error(want.why)
  return { local: { ...observe(emptyMachine), ...change }, want, settings }
}
const confOf = (of: Scene) => parseConf(render(of, "none", "none").files.conf)

describe("parameters that a version does not know", () => {
  const gone: readonly (readonly [string, number])[] = [
    ["wal_keep_segments", 12],
    ["operator_precedence_warning", 13],
    ["vacuum_cleanup_index_scale_factor", 13],
    ["stats_temp_directory", 14],
    ["promote_trigger_file", 15],
    ["vacuum_defer_cleanup_age", 15],
    ["force_parallel_mode", 15],
    ["old_snapshot_threshold", 16],
    ["db_user_namespace", 16],
    ["trace_recovery_messages", 16],
  ]
  test.each([...gone])(
    "D-70 %s is passed on up to version %d and dropped after it",
    (name, last) => {
      expect(refusal(name, "1", last)).toBeNull()
      expect(refusal(name, "1", last + 1)).toBe(`PostgreSQL ${last + 1} does not know it any more`)
    },
  )

  test("each name has one row, and its versions are in order", () => {
    const names = rows.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(rows.filter(({ since, until }) => since > until)).toEqual([])
  })

  test("D-48 a name that PostgreSQL refuses is left out and reported, the others stay", () => {
    const unfit = [{ name: "no_such", line: null, why: "PostgreSQL does not know it" }]
    const of = scene({ No_Such: "1", work_mem: "5MB" }, { unfit })
    expect(confOf(of).get("work_mem")).toBe("5MB")
    expect(confOf(of).has("no_such")).toBe(false)
    expect(ignoredParameters(of)).toContainEqual({
      name: "No_Such",
      why: "PostgreSQL does not know it",
    })
  })

  test("a value that PostgreSQL refuses is left out until it is another value", () => {
    const unfit = [{ name: "work_mem", line: "work_mem = 'it''s'", why: "no number" }]
    expect(confOf(scene({ work_mem: "it's" }, { unfit })).has("work_mem")).toBe(false)
    expect(confOf(scene({ work_mem: "5MB" }, { unfit })).get("work_mem")).toBe("5MB")
  })
})

describe("sizes of the WAL", () => {
  const sizes = (bytes: number | null, asked: Readonly<Record<string, string>> = {}) => {
    const conf = confOf(scene(asked, { walSegmentBytes: bytes }))
    return [conf.get("min_wal_size"), conf.get("max_wal_size")]
  }
  test("D-39 with segments too big for the defaults they are what initdb would have set", () => {
    expect(sizes(16 * 2 ** 20)).toEqual([undefined, undefined])
    expect(sizes(64 * 2 ** 20)).toEqual(["320MB", undefined])
    expect(sizes(2 ** 30)).toEqual(["5120MB", "65536MB"])
  })
  test("the user's own stand", () => {
    expect(sizes(64 * 2 ** 20, { min_wal_size: "1GB" })).toEqual(["1GB", undefined])
  })
})

describe("the start of an initialisation", () => {
  test.each([13, 14])("on %d nothing is archived", (major) => {
    const conf = parseConf(renderTemporary(scene({}, { binary: version(major) }), null))
    expect(conf.get("archive_command")).toBe("")
    expect(conf.has("archive_library")).toBe(false)
  })
  test("since 15 the archive library is off too", () => {
    const text = renderTemporary(scene({}, { binary: version(15) }), null)
    expect(parseConf(text).get("archive_library")).toBe("")
  })
})
