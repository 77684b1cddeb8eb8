/**
 * Anomalies that list-append shows: a cycle of transactions that each come before the next. The
 * final order of a list is the order of its versions, so who wrote after whom (ww), who read whom
 * (wr) and who was overtaken (rw) follow from it.
 *
 * No committed transactions may form a cycle of ww and wr (G0, G1c), whatever their level; and no
 * serializable ones a cycle of any kind. Only what a primary answered is judged: reads on standbys
 * have a history of their own (long fork, upstream).
 */
import type { Lists, Operation } from "./history.ts"
import { type Finding, type Read, describe } from "./judge.ts"

type Edges = ReadonlyMap<Operation, ReadonlySet<Operation>>

export function cycles({ history, final }: Read): readonly Finding[] {
  const writers = writersOf(history)
  const committed = (it: Operation): boolean => !it.recovery && it.outcome === "ok"
  const information = graph(history.filter(committed), writers, final, () => true, false)
  const serializable = (it: Operation): boolean => it.level === "serializable"
  const full = graph(
    history.filter((it) => committed(it) && serializable(it)),
    writers,
    final,
    serializable,
    true,
  )
  return [
    ...findCycles(information).map((members) => report("G1c", members)),
    ...findCycles(full).map((members) => report("not serializable", members)),
  ]
}

const report = (name: string, members: readonly Operation[]): Finding => ({
  rule: "cycle",
  text: `${name}: ${members.slice(0, 4).map(describe).join(" | ")}`,
})

function writersOf(history: readonly Operation[]): ReadonlyMap<number, Operation> {
  const writers = new Map<number, Operation>()
  for (const operation of history)
    for (const action of operation.actions)
      if (action.kind === "append") writers.set(action.value, operation)
  return writers
}

function graph(
  readers: readonly Operation[],
  writers: ReadonlyMap<number, Operation>,
  final: Lists,
  wanted: (it: Operation) => boolean,
  overtaking: boolean,
): Edges {
  const edges = new Map<Operation, Set<Operation>>()
  const add = (from: Operation | undefined, to: Operation | undefined): void => {
    if (from === undefined || to === undefined || from === to) return
    if (!wanted(from) || !wanted(to)) return
    const set = edges.get(from) ?? new Set()
    set.add(to)
    edges.set(from, set)
  }
  const writerAt = (values: readonly number[], place: number): Operation | undefined =>
    writers.get(values[place] ?? -1)
  for (const values of final.values())
    for (let i = 1; i < values.length; i++) add(writerAt(values, i - 1), writerAt(values, i))
  for (const reader of readers)
    for (const action of reader.actions) {
      if (action.kind !== "read") continue
      const order = final.get(action.key) ?? []
      const seen = action.values.length
      if (seen > 0 && action.values[seen - 1] !== order[seen - 1]) continue // of a lost branch
      add(writerAt(order, seen - 1), reader)
      if (overtaking) add(reader, writerAt(order, seen))
    }
  return edges
}

/** Strongly connected components of more than one (Tarjan, with a stack of its own). */
export function findCycles<T>(edges: ReadonlyMap<T, ReadonlySet<T>>): readonly (readonly T[])[] {
  const index = new Map<T, number>()
  const low = new Map<T, number>()
  const open: T[] = []
  const isOpen = new Set<T>()
  const found: T[][] = []
  const lower = (node: T, to: number): void => void low.set(node, Math.min(low.get(node) ?? to, to))
  const enter = (node: T): { readonly node: T; readonly rest: Iterator<T> } => {
    index.set(node, index.size)
    low.set(node, index.size - 1)
    open.push(node)
    isOpen.add(node)
    return { node, rest: (edges.get(node) ?? new Set<T>()).values() }
  }
  for (const root of edges.keys()) {
    if (index.has(root)) continue
    const path = [enter(root)]
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { value, done } = top.rest.next()
      if (done !== true) {
        const seen = index.get(value)
        if (seen === undefined) path.push(enter(value))
        else if (isOpen.has(value)) lower(top.node, seen)
        continue
      }
      path.pop()
      const mine = low.get(top.node) ?? 0
      const parent = path.at(-1)
      if (parent !== undefined) lower(parent.node, mine)
      if (mine !== index.get(top.node)) continue
      const component = open.splice(open.lastIndexOf(top.node))
      for (const each of component) isOpen.delete(each)
      if (component.length > 1) found.push(component)
    }
  }
  return found
}
