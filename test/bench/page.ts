/**
 * Pages of which a part is measured: it stands between two markers, and nothing else on the page is
 * touched.
 */
export interface Markers {
  readonly begin: string
  readonly end: string
}

/** The page with `text` between its markers; throws where it has none. */
export function between(page: string, { begin, end }: Markers, text: string): string {
  const [before, rest] = page.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined)
    throw new Error(`the page has no ${begin} … ${end}`)
  return `${before}${begin}\n${text}\n${end}${after}`
}
