/**
 * Where `stolon dev` tells what happens: on a terminal lines that scroll away above a table that is
 * drawn again in place; into a pipe or file one line per event.
 *
 * The table's lines may wrap, since its commands are there to be pasted; so it counts rows of the
 * terminal, not lines.
 */
export interface Display {
  readonly terminal: boolean
  /** Something that happened. */
  tell(who: string, text: string): void
  /** A line for programs, alone on its line. */
  announce(line: string): void
  /** The table from now on; nothing without a terminal. */
  show(lines: readonly string[]): void
}

/** `date` dates the lines. */
export function openDisplay(
  stream: Pick<NodeJS.WriteStream, "write" | "isTTY" | "columns" | "rows">,
  date: () => Date,
): Display {
  return stream.isTTY ? onTerminal(stream, date) : inLines(stream, date)
}

const stamp = (date: Date): string => date.toTimeString().slice(0, 8)
const event = (date: Date, who: string, text: string): string =>
  `${stamp(date)}  ${who.padEnd(9)}  ${text}\n`

function inLines(stream: Pick<NodeJS.WriteStream, "write">, date: () => Date): Display {
  return {
    terminal: false,
    tell: (who, text) => void stream.write(event(date(), who, text)),
    announce: (line) => void stream.write(`${line}\n`),
    show: () => {},
  }
}

function onTerminal(
  stream: Pick<NodeJS.WriteStream, "write" | "columns" | "rows">,
  date: () => Date,
): Display {
  let table: readonly string[] = []
  let drawn = 0
  const erase = (): string => (drawn === 0 ? "" : `\u001b[${drawn}A\r\u001b[J`)
  const draw = (): string => {
    const lines = fitting(table, stream.columns || 80, (stream.rows || 24) - 1)
    drawn = rowsOf(lines, stream.columns || 80)
    return lines.map((line) => `${line}\n`).join("")
  }
  const above = (text: string): void => {
    stream.write(`${erase()}${text}${draw()}`)
  }
  return {
    terminal: true,
    tell: (who, text) => above(event(date(), who, text)),
    announce: (line) => above(`${line}\n`),
    show: (lines) => {
      const next = ["", ...lines]
      if (drawn > 0 && next.join("\n") === table.join("\n")) return
      table = next
      above("")
    },
  }
}

const rowsOf = (lines: readonly string[], width: number): number =>
  lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(Bun.stringWidth(line) / width)), 0)

/**
 * As many lines from the top as the terminal holds: what has scrolled off cannot be drawn again.
 */
function fitting(lines: readonly string[], width: number, rows: number): readonly string[] {
  let count = lines.length
  while (count > 1 && rowsOf(lines.slice(0, count), width) > rows) count--
  return lines.slice(0, count)
}
