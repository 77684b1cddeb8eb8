/**
 * The log of a component, on standard error. Text lines have the columns of Go stolon's (reference
 * 8.2), because tools match on them; `json` is for collectors. Nothing here waits or throws: a
 * reader that stops costs lines, never a lease (T14).
 */
import { type Event, type EventField, events, type Level } from "#model/events.ts"
import type { Log } from "#port/log.ts"
import { openSink, type Sink } from "./sink.ts"

export type Fields = Readonly<Record<string, EventField>>

export interface ComponentLog extends Log {
  /** A line that is no event of the table: start-up, notices of libraries. */
  line(level: Level, message: string, fields?: Fields): void
  /** A line that a child wrote, passed on as it is. */
  output(line: string): void
  /** Gives what is queued `ms` to leave; for the moment before the process ends. */
  flush(ms: number): Promise<void>
}

export interface LogOptions {
  /** The third column: `keeper`, `sentinel`, … */
  readonly component: string
  readonly level: Level
  readonly format: "text" | "json"
  /** Colours the level. Only for terminals, and only when the user did not refuse. */
  readonly colour: boolean
  /** The third column of a line that is no event, from its message; absent: the component. */
  readonly place?: (message: string) => string
  /** Where lines go; standard error when absent. */
  readonly sink?: Sink
  /** Wall time, for tests. */
  readonly date?: () => Date
}

const ranks: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 }
const colours: Readonly<Record<Level, number>> = { debug: 35, info: 34, warn: 33, error: 31 }

/** Opens the log of one component. */
export function openLog(options: LogOptions): ComponentLog {
  const { component, colour } = options
  const date = options.date ?? (() => new Date())
  const render = options.format === "json" ? renderJson : renderText
  const make = (level: Level, source: string, message: string, fields: Fields): string =>
    render({ date: date(), level, component: source, message, fields, colour })
  const notice = (dropped: number): string =>
    make("warn", component, "log lines dropped, nobody reads them fast enough", { dropped })
  const sink = options.sink ?? openSink(2, { notice })
  const write = (level: Level, source: string, message: string, fields: Fields): void => {
    if (ranks[level] >= ranks[options.level]) sink.write(make(level, source, message, fields))
  }
  return {
    event: ({ code, fields }: Event) => {
      write(events[code].level, `${component}/${code}`, events[code].doc, fields)
    },
    line: (level, message, fields = {}) =>
      write(level, options.place?.(message) ?? component, message, fields),
    output: (line) => sink.write(`${line}\n`),
    flush: (ms) => sink.flush(ms),
  }
}

interface Line {
  readonly date: Date
  readonly level: Level
  readonly component: string
  readonly message: string
  readonly fields: Fields
  readonly colour: boolean
}

/**
 * `time TAB LEVEL TAB component TAB message [TAB {"k": "v"}]`; the context has a space after each
 * colon and comma.
 */
function renderText(line: Line): string {
  const name = line.level.toUpperCase()
  const level = line.colour ? `\u001b[${colours[line.level]}m${name}\u001b[0m` : name
  const context = Object.entries(line.fields)
    .map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`)
    .join(", ")
  const columns = [zoned(line.date), level, line.component, oneLine(line.message)]
  return `${[...columns, ...(context === "" ? [] : [`{${context}}`])].join("\t")}\n`
}

function renderJson(line: Line): string {
  const { date, level, component, message, fields } = line
  const own = { time: date.toISOString(), level, component, message }
  // Our own columns win over a field of the same name.
  return `${JSON.stringify({ ...own, ...fields, ...own })}\n`
}

/** A message must not be able to forge the next line. */
const oneLine = (text: string): string =>
  text.replace(/[\r\n\t]/g, (c) => (c === "\n" ? "\\n" : c === "\r" ? "\\r" : " "))

const pad = (n: number): string => String(n).padStart(2, "0")

/**
 * Local time with milliseconds and zone: `2024-05-14T09:21:07.583Z`, or `+0530` when the offset is
 * not zero.
 */
export function zoned(date: Date): string {
  const offset = -date.getTimezoneOffset()
  const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1)
  if (offset === 0) return `${local}Z`
  const minutes = Math.abs(offset)
  return `${local}${offset < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60))}${pad(minutes % 60)}`
}
