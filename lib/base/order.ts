/**
 * Comparators with a tie-break. Nothing in this code base depends on the order of a map: whatever
 * is iterated in a decision is sorted by one of these first (a whole class of Go stolon's defects
 * came from random map order, D-25).
 */
export type Order<T> = (a: T, b: T) => number

/** Text by UTF-16 code unit; for the ASCII ids of a cluster that is Go's byte order. */
export const byText: Order<string> = (a, b) => (a < b ? -1 : a > b ? 1 : 0)
export const byNumber: Order<number> = (a, b) => a - b
export const byBigint: Order<bigint> = (a, b) => (a < b ? -1 : a > b ? 1 : 0)

export const by =
  <T, K>(key: (item: T) => K, order: Order<K>): Order<T> =>
  (a, b) =>
    order(key(a), key(b))
export const descending =
  <T>(order: Order<T>): Order<T> =>
  (a, b) =>
    order(b, a)
/** The first order that tells two items apart decides. */
export const firstOf =
  <T>(...orders: readonly Order<T>[]): Order<T> =>
  (a, b) => {
    for (const order of orders) {
      const result = order(a, b)
      if (result !== 0) return result
    }
    return 0
  }

/** Documents mostly are in order already; every round of everybody asks. */
function isSorted(keys: Iterable<string>): boolean {
  let last = ""
  for (const key of keys) {
    if (key < last) return false
    last = key
  }
  return true
}

export const sortedKeys = <K extends string>(map: ReadonlyMap<K, unknown>): K[] =>
  isSorted(map.keys()) ? [...map.keys()] : [...map.keys()].toSorted(byText)
export const sortedValues = <K extends string, V>(map: ReadonlyMap<K, V>): V[] =>
  isSorted(map.keys()) ? [...map.values()] : sortedEntries(map).map(([, value]) => value)
export const sortedEntries = <K extends string, V>(map: ReadonlyMap<K, V>): [K, V][] =>
  isSorted(map.keys()) ? [...map] : [...map].toSorted(by(([key]) => key, byText))

/** Sorted and without repetitions. */
export const sortedSet = <T extends string>(items: Iterable<T>): T[] =>
  [...new Set(items)].toSorted(byText)
export const sameSet = (a: readonly string[], b: readonly string[]): boolean => {
  if (a.length === b.length && a.every((item, i) => item === b[i])) return true
  const left = sortedSet(a)
  const right = sortedSet(b)
  return left.length === right.length && left.every((item, i) => item === right[i])
}
