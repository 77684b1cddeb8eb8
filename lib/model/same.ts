/**
 * Comparing lists and maps part by part, for `same` of the codec. Parts that are one object are the
 * same without a look; nothing here says "same" of values that are written differently.
 */
export type Same<T> = (a: T, b: T) => boolean

export function sameLists<T>(a: readonly T[], b: readonly T[], same: Same<T>): boolean {
  if (a.length !== b.length) return false
  return a.every((left, i) => {
    const right = b[i]
    return right !== undefined && (left === right || same(left, right))
  })
}

/** In whatever order: a map is written sorted. */
export function sameMaps<K, T>(a: ReadonlyMap<K, T>, b: ReadonlyMap<K, T>, same: Same<T>): boolean {
  if (a.size !== b.size) return false
  for (const [key, left] of a) {
    const right = b.get(key)
    if (right === undefined || (left !== right && !same(left, right))) return false
  }
  return true
}
