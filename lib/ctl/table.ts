/**
 * Columns of text for people: left-aligned, two blanks apart, no trailing blanks. Cells hold names
 * and numbers, whose characters take one column each. Go's own columns, with tabs, are in
 * `status-go.ts`.
 */

/** The rows as lines. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  return rows.map((row) =>
    row
      .map((cell, i) => cell + " ".repeat((widths[i] ?? 0) - cell.length))
      .join("  ")
      .trimEnd(),
  )
}
