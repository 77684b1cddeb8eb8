/** The columns of the log, which tools of Go stolon's users match on. */
import { expect, test } from "bun:test"
import { event } from "#model/events.ts"
import { type LogOptions, openLog, zoned } from "#system/log.ts"
import type { Sink } from "#system/sink.ts"

const date = new Date("2024-05-14T09:21:07.583Z")

/** A log into an array. */
function capture(options: Partial<LogOptions> = {}) {
  const lines: string[] = []
  const sink: Sink = {
    write: (line) => void lines.push(String(line)),
    flush: async () => {},
    dropped: 0,
  }
  const defaults = { component: "keeper", level: "info", format: "text", colour: false } as const
  return { lines, log: openLog({ ...defaults, sink, date: () => date, ...options }) }
}

test("event() writes time, level, source, message and a spaced context, separated by tabs", () => {
  const { lines, log } = capture()
  log.event(event("role.created", { role: "user02" }))
  expect(lines).toEqual([
    `${zoned(date)}\tINFO\tkeeper/role.created\treplication role created\t{"role": "user02"}\n`,
  ])
})

test("line() leaves the context out when there is none, and lists several values", () => {
  const { lines, log } = capture()
  log.line("error", "exclusive lock on data dir taken")
  log.line("warn", "many", { a: 1, b: 'say "x"', c: true })
  expect(lines).toEqual([
    `${zoned(date)}\tERROR\tkeeper\texclusive lock on data dir taken\n`,
    `${zoned(date)}\tWARN\tkeeper\tmany\t{"a": 1, "b": "say \\"x\\"", "c": true}\n`,
  ])
})

test("lines below the level are not written", () => {
  const { lines, log } = capture({ level: "warn" })
  log.line("info", "no")
  log.line("debug", "no")
  log.line("warn", "yes")
  expect(lines).toHaveLength(1)
})

test("a message cannot forge another line or column", () => {
  const { lines, log } = capture()
  log.line("info", "one\ntwo\tthree")
  expect(lines[0]).toEndWith("\tkeeper\tone\\ntwo three\n")
})

test("only the level is coloured", () => {
  const { lines, log } = capture({ colour: true })
  log.line("info", "text")
  expect(lines[0]).toBe(`${zoned(date)}\t\u001b[34mINFO\u001b[0m\tkeeper\ttext\n`)
})

test("json lines hold the same, and fields cannot replace the columns", () => {
  const { lines, log } = capture({ format: "json" })
  log.event(event("role.created", { role: "user02", level: "none" }))
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "2024-05-14T09:21:07.583Z",
    level: "info",
    component: "keeper/role.created",
    message: "replication role created",
    role: "user02",
  })
})

test("output() passes the lines of children on as they are", () => {
  const { lines, log } = capture({ level: "error" })
  log.output("LOG:  database system is ready")
  expect(lines).toEqual(["LOG:  database system is ready\n"])
})

test("zoned() writes Z for an offset of zero and a numeric zone otherwise", () => {
  const program = `import { zoned } from "${new URL("../../../lib/system/log.ts", import.meta.url).pathname}"
    console.log(zoned(new Date("2024-01-14T23:21:07.583Z")))`
  const zone = (TZ: string): string =>
    Bun.spawnSync([process.execPath, "-e", program], { env: { ...process.env, TZ } })
      .stdout.toString()
      .trim()
  expect(zone("UTC")).toBe("2024-01-14T23:21:07.583Z")
  expect(zone("Asia/Kolkata")).toBe("2024-01-15T04:51:07.583+0530")
  expect(zone("America/New_York")).toBe("2024-01-14T18:21:07.583-0500")
})
