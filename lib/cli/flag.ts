/**
 * A flag is one row of a table; everything else follows from it: parsing in both dialects,
 * environment names, help, usage and the type of the parsed value. To add a flag, add a row.
 *
 * Rows are plain data. They never read anything; who parses gives argv and the environment as
 * arguments.
 */
import type { Millis } from "#base/brand.ts"

/**
 * How the program was called (protocol part 8). `go`: by a Go name such as `stolonctl`; Go's flag
 * rules and output bytes. `stolon`: by its own name; strict flags, rich output.
 */
export type Dialect = "go" | "stolon"

/** Another name of a flag, kept for old scripts. `deprecated` is the advice that its use prints. */
export interface Alias {
  readonly name: string
  readonly deprecated: string
}

interface RowBase {
  /** One line for help; says what the flag does, not what it is called. */
  readonly doc: string
  /** The heading it stands under in help. */
  readonly group: string
  /** What stands for the value in help, such as `FILE`. */
  readonly placeholder?: string
  readonly shorthand?: string
  /**
   * `component` (the usual): PREFIX_NAME; `common`: also STOLON_NAME, read after it by every
   * command; `none`: argv only.
   */
  readonly env?: "component" | "common" | "none"
  /** Never printed: not in messages, not in help, not in logs. */
  readonly secret?: true
  /** Advice printed when it is used; the flag is left out of help. */
  readonly deprecated?: string
  readonly aliases?: readonly Alias[]
  /**
   * Flags that cannot be given together with this one (stolon dialect; Go's commands check by
   * themselves).
   */
  readonly conflicts?: readonly string[]
  /** Ours, not Go's: left out of the usage that the go dialect prints, accepted all the same. */
  readonly extension?: true
  /** The command cannot do without it; help says so, the command checks it. */
  readonly required?: true
  /** Exists in one dialect only. Its value is the default in the other. */
  readonly only?: Dialect
  /**
   * A rule on the text, checked in the stolon dialect only: what was expected, or null when the
   * text is fine.
   */
  readonly rule?: (text: string) => string | null
}

/** One flag. Durations have their default in Go's syntax (`5s`). */
export type Row = RowBase &
  (
    | {
        readonly type: "string"
        readonly default?: string
        /** The default in the stolon dialect, where it is another. */
        readonly better?: string
      }
    | { readonly type: "bool"; readonly default?: boolean }
    | { readonly type: "int"; readonly default: number; readonly min?: number }
    | { readonly type: "duration"; readonly default: string }
    | { readonly type: "list"; readonly default?: string }
    | {
        readonly type: "choice"
        readonly choices: readonly string[]
        readonly default: string
        /**
         * What a Go program does with another word: ends with this text and the word, or takes the
         * default (null).
         */
        readonly goInvalid: string | null
      }
  )

/** A table: flag name (kebab case, as typed after `--`) to row. */
export type Flags = Readonly<Record<string, Row>>

type Camel<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S

type ValueOf<R extends Row> = R extends { readonly type: "bool" }
  ? boolean
  : R extends { readonly type: "int" }
    ? number
    : R extends { readonly type: "duration" }
      ? Millis
      : R extends { readonly type: "list" }
        ? readonly string[]
        : R extends { readonly type: "choice"; readonly choices: readonly (infer C)[] }
          ? C
          : string

/** The parsed values of a table; `store-timeout` becomes `storeTimeout`. */
export type Values<F extends Flags> = {
  readonly [K in keyof F & string as Camel<K>]: ValueOf<F[K]>
}

/** Keeps the literal types of a table while checking that it is one. */
export const table = <const F extends Flags>(flags: F): F => flags

/** `store-timeout` to `storeTimeout`, the run-time side of `Values`. */
export const camel = (name: string): string =>
  name.replace(/-(.)/g, (_, c: string) => c.toUpperCase())

/** `store-timeout` to `STKEEPER_STORE_TIMEOUT`. */
export const envName = (prefix: string, flag: string): string =>
  `${prefix}_${flag.toUpperCase().replaceAll("-", "_")}`

/** The prefix that every command reads after its own. */
export const commonPrefix = "STOLON"

/** The rows that exist in a dialect, in table order. */
export const rowsIn = (flags: Flags, dialect: Dialect): readonly (readonly [string, Row])[] =>
  Object.entries(flags).filter(([, row]) => row.only === undefined || row.only === dialect)

/** Something a person can be shown how to do. */
export interface Example {
  readonly line: string
  readonly doc: string
}

/** A command as data: what help and the parser need to know of it. */
export interface Command<F extends Flags = Flags> {
  /** The word after `stolon` (or after `ctl`). */
  readonly name: string
  /** The one line that lists of commands show. */
  readonly summary: string
  /** What a newcomer should know before using it: the lines of one paragraph. */
  readonly about: readonly string[]
  /** Prefix of its environment variables; null: it has none. */
  readonly prefix: string | null
  readonly flags: F
  /** Flags that belong to the parent (`stolonctl --cluster-name=… init`). */
  readonly inherited: readonly string[]
  /** Usage of what follows the flags, such as `[SPEC]`, and how many may follow. */
  readonly positionals: { readonly usage: string; readonly max: number }
  readonly examples: readonly Example[]
  /** Whether the go dialect knows `--version` here. */
  readonly goVersion: boolean
  /** Not in the go dialect. */
  readonly extension?: true
  /** The first line of help in the go dialect, where Go's differs from `summary`. Empty: none. */
  readonly goSummary?: string
}
export const command = <const F extends Flags>(definition: Command<F>): Command<F> => definition
