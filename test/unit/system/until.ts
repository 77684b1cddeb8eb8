/** Waiting in tests: for a condition, never for time. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  ms = 10_000,
): Promise<NonNullable<T>> {
  const end = performance.now() + ms
  for (;;) {
    const value = await condition()
    if (value !== null && value !== undefined && value !== false) return value
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await Bun.sleep(5)
  }
}
