/**
 * Where in Go stolon's source its FATAL, WARN and INFO lines of a start come from. Nobody parses
 * that column, but the go dialect's lines are compared as a whole
 * (`test/golden/cli/arguments.tsv`); so it is a table, by program and beginning of the message.
 *
 * Only what was recorded from running programs stands here. A line that is not in the table gets
 * the file without a number.
 */

type Rows = readonly (readonly [beginning: string, line: number])[]

const common: readonly string[] = [
  "cluster name required",
  "store backend type required",
  "unspecified kubernetes resource kind",
  "wrong kubernetes resource kind",
  "Unknown store backend",
]
const at = (line: number, beginnings: readonly string[]): Rows =>
  beginnings.map((beginning) => [beginning, line])
/** Every mistake in argv. */
const parsing = (line: number): Rows =>
  at(line, ["unknown ", "flag needs an argument", "invalid argument ", "bad flag syntax"])

const keeper: Rows = [
  ["invalid value ", 1901],
  ...parsing(1905),
  ["invalid log level", 1940],
  ["data dir required", 1951],
  ...at(1955, common),
  ["cannot create data dir", 1961],
  ["--pg-listen-address is required", 1965],
  ["--pg-repl-auth-method must be", 1992],
  ["--pg-repl-username is required", 1995],
  ["not utilizing a password for replication", 1998],
  ["can not utilize --pg-repl-auth-method trust", 2000],
  ["not utilizing a password for superuser", 2004],
  ["one of --pg-repl-password", 2010],
  ["only one of --pg-repl-password", 2013],
  ["--pg-su-auth-method must be", 2016],
  ["one of --pg-su-password", 2019],
  ["only one of --pg-su-password", 2022],
  ["cannot read pg replication user password", 2028],
  ["cannot read pg superuser password", 2034],
  ["superuser name and replication user name are the same", 2058],
  ["do not support different auth methods", 2060],
  ["provided superuser name and replication user name", 2063],
  ["exclusive lock on data dir taken", 2091],
  ["keeper uid ", 2096],
]
const sentinel: Rows = [
  ...parsing(1968),
  ["invalid log level", 1983],
  ...at(1994, common),
  ["sentinel uid", 2000],
  ["cannot create sentinel", 2021],
]
const proxy: Rows = [
  ...parsing(369),
  ...at(403, common),
  ["tcp keepalive idle", 409],
  ["tcp keepalive count", 412],
  ["tcp keepalive interval", 415],
  ["proxy uid", 419],
  ["cannot create cluster checker", 433],
]

const places: Readonly<Record<string, { readonly file: string; readonly rows: Rows }>> = {
  "stolon-keeper": { file: "cmd/keeper.go", rows: keeper },
  "stolon-sentinel": { file: "cmd/sentinel.go", rows: sentinel },
  "stolon-proxy": { file: "cmd/proxy.go", rows: proxy },
  stolonctl: { file: "cmd/stolonctl.go", rows: [["invalid value ", 78], ...parsing(81)] },
}

/** The third column of a line that says `message`. */
export function goPlace(program: string, message: string): string {
  const [name = ""] = program.split(" ")
  const found = Object.hasOwn(places, name) ? places[name] : undefined
  if (found === undefined) return "cmd/stolon.go"
  const line = found.rows.find(([beginning]) => message.startsWith(beginning))?.[1]
  return line === undefined ? found.file : `${found.file}:${line}`
}
