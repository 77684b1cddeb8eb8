/**
 * Flags of `stolon ctl` and its subcommands (reference 1.7). The global ones may stand before or
 * after the subcommand.
 */
import { dryRun, specFlag, yesHere } from "./ctl-changes.ts"
import { ctlGlobals } from "./ctl-globals.ts"
import { type Command, type Example, type Flags, command, table } from "./flag.ts"

const yes = table({
  yes: {
    type: "bool",
    shorthand: "y",
    env: "none",
    group: "Command",
    doc: "do not ask for confirmation",
  },
})
const file = table({
  file: {
    type: "string",
    shorthand: "f",
    env: "none",
    group: "Command",
    placeholder: "FILE",
    doc: "read it from this file; - for standard input",
  },
})

interface Sub<F extends Flags> {
  readonly name: string
  readonly summary: string
  readonly about?: readonly string[]
  readonly flags: F
  readonly usage?: string
  readonly max?: number
  readonly examples: readonly Example[]
  readonly extension?: true
  readonly goSummary?: string
}

/** A subcommand: its own flags and the global ones. */
export const sub = <const F extends Flags>(it: Sub<F>): Command<F & typeof ctlGlobals> =>
  command({
    name: it.name,
    summary: it.summary,
    about: it.about ?? [],
    prefix: "STOLONCTL",
    flags: { ...it.flags, ...ctlGlobals },
    inherited: Object.keys(ctlGlobals),
    positionals: { usage: it.usage ?? "", max: it.max ?? 0 },
    goVersion: false,
    examples: it.examples,
    ...(it.extension === undefined ? {} : { extension: it.extension }),
    ...(it.goSummary === undefined ? {} : { goSummary: it.goSummary }),
  })

/** The root: global flags only. */
export const ctlCommand = command({
  name: "ctl",
  summary: "look at a cluster and change it",
  about: [
    "Every subcommand needs --cluster-name and --store-backend; STOLON_CLUSTER_NAME and STOLON_STORE_BACKEND do too.",
  ],
  prefix: "STOLONCTL",
  flags: ctlGlobals,
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: true,
  goSummary: "stolon command line client",
  examples: [
    { line: "stolon ctl status", doc: "who is primary, who follows, what is being waited for" },
    {
      line: "stolon ctl update --patch '{\"synchronousReplication\":true}'",
      doc: "change one setting",
    },
  ],
})

export const initCommand = sub({
  name: "init",
  summary: "initialize a new cluster",
  goSummary: "Initialize a new cluster",
  about: [
    "Writes a new cluster into the store. Without SPEC the first keeper that reports is initialised as an empty primary. Cluster",
    "data that is there already is replaced, and keepers then overwrite their databases: hence the question.",
  ],
  flags: { ...file, ...specFlag, ...yes, ...dryRun },
  usage: "[SPEC]",
  max: 1,
  examples: [
    { line: "stolon ctl init", doc: "a new, empty cluster" },
    {
      line: 'stolon ctl init \'{"initMode":"new","synchronousReplication":true}\'',
      doc: "with a specification",
    },
    { line: "stolon ctl init -f spec.json --yes", doc: "from a file, without asking" },
  ],
})

export const statusCommand = sub({
  name: "status",
  summary: "show members, roles, lag and what is being waited for",
  flags: {
    format: {
      type: "string",
      default: "text",
      shorthand: "f",
      env: "none",
      group: "Command",
      placeholder: "text|json",
      rule: (text) => (text === "text" || text === "json" ? null : "expected text or json"),
      doc: "text for people, json for programs",
    },
  },
  examples: [
    { line: "stolon ctl status", doc: "a table" },
    { line: "stolon ctl status -f json | jq .waiting", doc: "what the cluster waits for" },
  ],
})

export const specCommand = sub({
  name: "spec",
  summary: "print the cluster specification",
  flags: {
    defaults: { type: "bool", env: "none", group: "Command", doc: "with every default filled in" },
  },
  examples: [{ line: "stolon ctl spec --defaults", doc: "all settings in force" }],
})

export const updateCommand = sub({
  name: "update",
  summary: "change the cluster specification",
  about: [
    "SPEC replaces the whole specification; with --patch only the keys it names change, and null removes a key.",
  ],
  flags: {
    ...file,
    ...specFlag,
    ...yesHere,
    ...dryRun,
    patch: {
      type: "bool",
      shorthand: "p",
      env: "none",
      group: "Command",
      doc: "merge SPEC into the stored one",
    },
  },
  usage: "[SPEC]",
  max: 1,
  examples: [
    { line: "stolon ctl update --patch '{\"maxStandbyLag\":1048576}'", doc: "set one value" },
    {
      line: 'stolon ctl update --patch \'{"pgParameters":{"work_mem":null}}\'',
      doc: "remove one value",
    },
    { line: "stolon ctl update -f spec.json", doc: "replace everything" },
  ],
})

export const promoteCommand = sub({
  name: "promote",
  summary: "make a standby cluster a cluster with a primary",
  about: [
    "For a cluster of role standby, which follows another one. To choose another primary within a cluster use failover.",
  ],
  flags: { ...yes, ...dryRun },
  examples: [{ line: "stolon ctl promote", doc: "the standby cluster becomes writable" }],
})

export const failkeeperCommand = sub({
  name: "failkeeper",
  summary: "have a keeper treated as failed, once",
  about: [
    "The leader acts at its next check: a primary is replaced if somebody can replace it. The keeper comes back as a standby.",
    "Ends when the mark is written; stolon ctl status shows what came of it. failover waits for the outcome and tells it.",
  ],
  flags: { ...yesHere, ...dryRun },
  usage: "KEEPER",
  max: 1,
  examples: [{ line: "stolon ctl failkeeper pg1", doc: "move the primary away from pg1" }],
})

export const removekeeperCommand = sub({
  name: "removekeeper",
  summary: "forget a keeper",
  about: [
    "Refused for the keeper of the primary. A keeper that still runs is found again and made anew.",
  ],
  flags: {
    "i-understand-data-loss": {
      type: "bool",
      env: "none",
      only: "stolon",
      group: "Command",
      doc: "also the last copy that could take over from a primary that is down",
    },
    ...yesHere,
    ...dryRun,
  },
  usage: "KEEPER",
  max: 1,
  examples: [{ line: "stolon ctl removekeeper pg3", doc: "pg3 was decommissioned" }],
})

export const clusterdataCommand = sub({
  name: "clusterdata",
  summary: "read or write the whole cluster document",
  goSummary: "Manage current cluster data",
  flags: {},
  examples: [],
})

export const readCommand = sub({
  name: "read",
  summary: "print the cluster document",
  flags: {
    pretty: { type: "bool", env: "none", group: "Command", doc: "indented" },
  },
  examples: [{ line: "stolon ctl clusterdata read > backup.json", doc: "a backup" }],
})

export const writeCommand = sub({
  name: "write",
  summary: "write a cluster document into the store",
  about: [
    "For moving a cluster to another store. Refused over existing cluster data, unless confirmed with --yes.",
  ],
  flags: { ...file, ...yes, ...dryRun },
  examples: [{ line: "stolon ctl clusterdata write -f backup.json", doc: "into an empty store" }],
})

export const ctlVersionCommand = sub({
  name: "version",
  summary: "print the version",
  flags: {},
  examples: [],
})

export const helpCommand = sub({
  name: "help",
  summary: "help about a command",
  flags: {},
  usage: "[COMMAND]",
  max: 2,
  examples: [],
})
