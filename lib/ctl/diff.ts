/**
 * What a change changes, for people: one line for each value that goes and comes, by its path.
 * `--dry-run` prints it and `ctl configure` shows it before it writes.
 *
 * Times and the writer's mark change with every write and say nothing; they are left out.
 */
import { sortedSet } from "#base/order.ts"
import { ClusterData } from "#model/cluster.ts"
import type { ClusterData as ClusterDataType } from "#model/cluster.ts"
import { type Json, isArray, isObject, parseJson, printJson } from "#model/json.ts"
import { Spec, emptySpec, withDefaults } from "#model/spec.ts"
import type { Spec as SpecType } from "#model/spec.ts"

/** Values by path; lists are values, since their order counts. */
function leaves(json: Json): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const walk = (value: Json, path: string): void => {
    if (isObject(value) && !isArray(value) && Object.keys(value).length > 0)
      for (const [key, inner] of Object.entries(value))
        walk(inner, path === "" ? key : `${path}.${key}`)
    else found.set(path, printJson(value))
  }
  walk(json, "")
  return found
}

const plain = (json: Json): Json => parseJson(printJson(json))

function lines(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  unset: ReadonlyMap<string, string>,
): readonly string[] {
  const paths = sortedSet<string>([...before.keys(), ...after.keys()])
  return paths.flatMap((path) => {
    const [old, next] = [before.get(path), after.get(path)]
    if (old === next) return []
    const fallback = unset.get(path)
    const left = old ?? (fallback === undefined ? null : `${fallback} (default)`)
    const right = next ?? (fallback === undefined ? null : `${fallback} (default)`)
    return [
      ...(left === null ? [] : [`- ${path}: ${left}`]),
      ...(right === null ? [] : [`+ ${path}: ${right}`]),
    ]
  })
}

const text = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("")

/** Of two specifications; what is not set shows its default. Empty: they are the same. */
export function specDiff(before: SpecType, after: SpecType): string {
  const set = (spec: SpecType): ReadonlyMap<string, string> =>
    new Map([...leaves(plain(Spec.encode(spec)))].filter(([, value]) => value !== "null"))
  const defaults = leaves(plain(Spec.encode(withDefaults(emptySpec))))
  const known = new Map([...defaults].filter(([, value]) => value !== "null" && value !== "{}"))
  return text(lines(set(before), set(after), known))
}
const restless = /(^|\.)(changeTime|writer)$/

/** Of two cluster data; null: there were none. */
export function dataDiff(before: ClusterDataType | null, after: ClusterDataType): string {
  const of = (data: ClusterDataType | null): ReadonlyMap<string, string> => {
    if (data === null) return new Map()
    const all = leaves(plain(ClusterData.encode(data)))
    return new Map([...all].filter(([path]) => !restless.test(path)))
  }
  return text(lines(of(before), of(after), new Map()))
}
