/**
 * The components' logs read back: one entry per JSON line. Lines that are none (what a child
 * wrote) are passed over.
 */
import * as v from "valibot"

export interface Entry {
  /** Wall time in milliseconds. */
  readonly time: number
  /** As in the table of events, such as `primary.deposed`; empty for a line that is no event. */
  readonly code: string
  readonly component: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

const lineSchema = v.looseObject({
  time: v.string(),
  component: v.string(),
  message: v.string(),
})

export function entriesOf(log: string): readonly Entry[] {
  return log.split("\n").flatMap((line): readonly Entry[] => {
    if (!line.startsWith("{")) return []
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), lineSchema), line)
    if (!parsed.success) return []
    const { time, component, message, ...fields } = parsed.output
    const [name = "", code = ""] = component.split("/")
    return [{ time: Date.parse(time), component: name, code, message, fields }]
  })
}
