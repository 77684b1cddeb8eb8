/**
 * Lines for pipes, a table drawn in place for terminals.
 */
import { expect, test } from "bun:test"
import { openDisplay } from "#cmd/dev-display.ts"

const noon = (): Date => new Date(2026, 0, 1, 12, 0, 0)

/** A stream that remembers; `columns` and `rows` make it a terminal. */
function stream(size?: { readonly columns: number; readonly rows: number }) {
  const written: string[] = []
  return {
    written,
    isTTY: size !== undefined,
    columns: size?.columns ?? 0,
    rows: size?.rows ?? 0,
    write: (text: string | Uint8Array) => {
      written.push(String(text))
      return true
    },
  }
}

test("openDisplay() writes one line per event and no table without a terminal", () => {
  const out = stream()
  const display = openDisplay(out, noon)
  display.show(["a table"])
  display.tell("keeper1", "standby")
  display.announce("ready postgresql://x")
  expect(out.written).toEqual(["12:00:00  keeper1    standby\n", "ready postgresql://x\n"])
})

test("openDisplay() draws the table again below each event", () => {
  const out = stream({ columns: 80, rows: 24 })
  const display = openDisplay(out, noon)
  display.show(["one", "two"])
  display.tell("keeper1", "standby")
  expect(out.written).toEqual([
    "\none\ntwo\n",
    "\u001b[3A\r\u001b[J12:00:00  keeper1    standby\n\none\ntwo\n",
  ])
})

test("openDisplay() counts the rows of lines that wrap, and colours as nothing", () => {
  const out = stream({ columns: 10, rows: 24 })
  const display = openDisplay(out, noon)
  display.show(["\u001b[1m0123456789\u001b[22m", "01234567890"])
  display.show([])
  expect(out.written[1]).toStartWith("\u001b[4A")
})

test("openDisplay() draws no more rows than the terminal has", () => {
  const out = stream({ columns: 10, rows: 4 })
  const display = openDisplay(out, noon)
  display.show(["1", "2", "3", "4", "5"])
  expect(out.written).toEqual(["\n1\n2\n"])
})
