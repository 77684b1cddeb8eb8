/** A small table that has one flag of each type; shared by the tests of both dialects. */
import { command, table } from "#cli/flag.ts"

export const sample = command({
  name: "sample",
  summary: "try the parser",
  about: [],
  prefix: "STSAMPLE",
  flags: table({
    name: { type: "string", env: "common", group: "A", doc: "a name" },
    wait: { type: "duration", default: "5s", env: "common", group: "A", doc: "a time" },
    count: { type: "int", default: 3, min: 0, group: "A", doc: "a number" },
    hosts: { type: "list", group: "A", doc: "a list" },
    safe: { type: "bool", default: true, group: "A", doc: "a switch that is on" },
    yes: { type: "bool", shorthand: "y", env: "none", group: "A", doc: "a switch" },
    file: { type: "string", shorthand: "f", env: "none", group: "A", doc: "a file" },
    level: {
      type: "choice",
      choices: ["low", "high"],
      default: "low",
      goInvalid: "invalid level: ",
      group: "A",
      doc: "a word",
    },
    password: {
      type: "string",
      secret: true,
      conflicts: ["password-file"],
      group: "A",
      doc: "a secret",
      rule: (text) => (text.length > 2 ? null : "expected at least three characters"),
    },
    "password-file": { type: "string", group: "A", doc: "a file with a secret" },
    uid: {
      type: "string",
      aliases: [{ name: "id", deprecated: "please use --uid" }],
      group: "A",
      doc: "a uid",
    },
    debug: { type: "bool", deprecated: "use --level=high instead", group: "A", doc: "more" },
    late: { type: "string", extension: true, group: "A", doc: "ours" },
    old: { type: "string", only: "go", group: "A", doc: "Go's" },
  }),
  inherited: [],
  positionals: { usage: "[WORD]", max: 1 },
  goVersion: true,
  examples: [{ line: "stolon sample --name x", doc: "the usual" }],
})
