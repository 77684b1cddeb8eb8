/** The recorded command lines of Go's programs, and what of a run is compared with them. */
import { table } from "#test/unit/ctl/golden.ts"
import type { Played } from "./played.ts"

export const rows = table("arguments.tsv").map(
  ([
    program = "",
    argv = "",
    env = "",
    exit = "",
    stdout = "",
    lines = "",
    first = "",
    last = "",
  ]) =>
    ({
      name: `${env === "" ? "" : `${env} `}${program} ${argv}`.trim(),
      program,
      argv: argv === "" ? [] : argv.split(" "),
      env: pairs(env),
      told: {
        exit: Number(exit),
        stdout,
        lines: Number(lines),
        first: first.replaceAll("\\t", "\t"),
        last: last.replaceAll("\\t", "\t"),
      },
    }) as const,
)
export type Row = (typeof rows)[number]

function pairs(text: string): Readonly<Record<string, string>> {
  const entries = text.split(" ").filter((pair) => pair !== "")
  return Object.fromEntries(entries.map((pair) => [pair.split("=")[0], pair.split("=")[1] ?? ""]))
}

/** Times and random names are not compared. */
const still = (line: string): string =>
  line
    .replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d{4})(?=\t)/, "<time>")
    .replace(/"uid": "[0-9a-f]{8}"/, '"uid": "<uid>"')

/** What is compared of a run. */
export function summary({ exit, stdout, stderr }: Played): Row["told"] {
  const lines = stderr.split("\n")
  const full = lines.filter((line) => line !== "").map(still)
  return {
    exit,
    stdout: stdout.split("\n")[0] ?? "",
    lines: lines.length - 1,
    first: full[0] ?? "",
    last: full.at(-1) ?? "",
  }
}
