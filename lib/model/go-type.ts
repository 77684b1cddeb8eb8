/**
 * What Go calls the types of our documents, as far as its decoder's messages show it: `uint16`,
 * `cluster.ClusterInitMode`, the name of the struct around a field. Data beside each kind of
 * `codec.ts`; nothing decides by it but `go-error.ts`.
 */
export type GoType =
  | { readonly kind: "text" | "bool"; readonly name: string }
  | { readonly kind: "integer"; readonly name: string; readonly min: bigint; readonly max: bigint }
  | { readonly kind: "duration"; readonly name: string }
  | { readonly kind: "time"; readonly name: string }
  | { readonly kind: "slice" | "map"; readonly name: string; readonly item: GoType }
  | {
      readonly kind: "struct"
      /** With its package, as in `cluster.ClusterSpec`; empty: never seen in a message. */
      readonly name: string
      readonly fields: ReadonlyMap<string, GoField>
    }

export interface GoField {
  readonly type: GoType
  /** A pointer in Go: null leaves it unset, whatever the type makes of null. */
  readonly pointer: boolean
}

export const goText: GoType = { kind: "text", name: "string" }
export const goBool: GoType = { kind: "bool", name: "bool" }
export const goDuration: GoType = { kind: "duration", name: "cluster.Duration" }
export const goTime: GoType = { kind: "time", name: "time.Time" }
export const goUint = (bits: 16 | 32 | 64): GoType => ({
  kind: "integer",
  name: `uint${bits}`,
  min: 0n,
  max: (1n << BigInt(bits)) - 1n,
})
export const goInt: GoType = {
  kind: "integer",
  name: "int64",
  min: -(1n << 63n),
  max: (1n << 63n) - 1n,
}
export const goSlice = (item: GoType): GoType => ({ kind: "slice", name: `[]${item.name}`, item })
export const goMap = (item: GoType): GoType => ({
  kind: "map",
  name: `map[string]${item.name}`,
  item,
})
