/**
 * What the three generators of files share: a file as a value, the ports on which our own parts
 * listen in generated deployments, and what every one of them says of passwords.
 *
 * Pure: the passwords of `--with-passwords` are arguments. None is in a file unless that was asked.
 */
import type { Yaml } from "./yaml.ts"

/** A file to write, or to print below its name. `mode` is that of a file with secrets. */
export interface File {
  readonly name: string
  readonly text: string
  readonly mode: 0o644 | 0o600
}

/** Made for this output by whoever asked for them. */
export interface Passwords {
  readonly superuser: string
  readonly replication: string
}

/** Within a pod or a container, where every component has an address of its own. */
export const inside = { postgres: 5432, peers: 7431, metrics: 8080 } as const

/** Accounts of PostgreSQL in generated deployments. */
export const accounts = { superuser: "postgres", replication: "repl" } as const

/** Where the volume of a keeper is mounted; the data directory lies below, for its mode is ours. */
export const volume = "/var/lib/stolon"
export const dataDir = `${volume}/keeper`

/** Names and values as `--name=value` words; an empty value leaves the flag out. */
export const flagWords = (
  component: string,
  flags: Readonly<Record<string, string | number>>,
): readonly string[] => [
  component,
  ...Object.entries(flags).flatMap(([name, value]) => (value === "" ? [] : [`--${name}=${value}`])),
]

/** Numbers from `first` to `last`. */
export const count = (first: number, last: number): readonly number[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i)

/** An entry, or none: for parts of a document that depend on a choice. */
export const when = (
  condition: boolean,
  entries: Readonly<Record<string, Yaml>>,
): Readonly<Record<string, Yaml>> => (condition ? entries : {})
