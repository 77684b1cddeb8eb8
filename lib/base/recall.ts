/**
 * Remembers what a pure function made of the same inputs. What a round derives from documents that
 * did not change is asked for again in every round: the answer of the last one serves.
 *
 * Inputs are compared by identity, never by value: documents are never changed in place, so the
 * same object says the same. Nothing here may hold on to a document that is gone.
 */
export type Recall<R> = (anchor: object, inputs: readonly unknown[], make: () => R) => R

interface Entry<R> {
  readonly inputs: readonly unknown[]
  readonly result: R
}

/**
 * A memory of `size` results per `anchor`, one of the inputs: it forgets them together with it.
 * `inputs` are the others, always in the same order.
 */
export function recall<R>(size: number): Recall<R> {
  const all = new WeakMap<object, Entry<R>[]>()
  return (anchor, inputs, make) => {
    const known = all.get(anchor) ?? []
    const entry = known.find((candidate) => equal(candidate.inputs, inputs))
    if (entry !== undefined) return entry.result
    const result = make()
    all.set(anchor, [{ inputs, result }, ...known.slice(0, size - 1)])
    return result
  }
}

function equal(a: readonly unknown[], b: readonly unknown[]): boolean {
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return a.length === b.length
}
