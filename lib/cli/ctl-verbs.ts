/**
 * Subcommands of every day that Go stolon does not have: pause, resume, restart, reload, reclone,
 * configure. A Go name does not know them (`extension`).
 */
import { dryRun, yesHere } from "./ctl-changes.ts"
import { sub } from "./ctl.ts"
import { type Flags, table } from "./flag.ts"

const own = "Command"
const timeout = <const D extends string>(text: D, doc: string) =>
  table({ timeout: { type: "duration", default: text, env: "none", group: own, doc } })
const changing = { ...dryRun, ...yesHere } as const satisfies Flags

export const pauseCommand = sub({
  name: "pause",
  summary: "hands off: no automatic failover, PostgreSQL is left as it is",
  about: [
    "Without KEEPER the whole cluster: the leader deposes nobody, and keepers neither restart, stop, start nor copy PostgreSQL by",
    "themselves. With KEEPER only that one, which is then no candidate either. Routing and status go on, and so does",
    "`ctl failover`, if it is safe. Safety is never paused: a primary that was revoked stops.",
  ],
  flags: {
    reason: {
      type: "string",
      env: "none",
      group: own,
      placeholder: "TEXT",
      doc: "why; `ctl status` shows it",
    },
    ...changing,
  },
  usage: "[KEEPER]",
  max: 1,
  examples: [
    { line: "stolon ctl pause --reason 'kernel update'", doc: "the whole cluster" },
    { line: "stolon ctl pause pg2", doc: "one keeper" },
  ],
  extension: true,
})

export const resumeCommand = sub({
  name: "resume",
  summary: "end a pause",
  about: ["What was silent or ill in the meantime is judged anew from now on."],
  flags: changing,
  usage: "[KEEPER]",
  max: 1,
  examples: [{ line: "stolon ctl resume", doc: "the whole cluster" }],
  extension: true,
})

export const restartCommand = sub({
  name: "restart",
  summary: "restart PostgreSQL of one keeper, or of all in turn",
  about: [
    "With --rolling every standby one after the other, each back and streaming before the next, the primary last; with --pending",
    "only those whose PostgreSQL waits for a restart because of a changed parameter.",
  ],
  flags: {
    rolling: {
      type: "bool",
      env: "none",
      group: own,
      conflicts: ["pending"],
      doc: "all, one after the other",
    },
    pending: {
      type: "bool",
      env: "none",
      group: own,
      doc: "all that wait for a restart, one after the other",
    },
    ...timeout("5m", "how long to wait for each to be back"),
    ...changing,
  },
  usage: "[KEEPER]",
  max: 1,
  examples: [
    { line: "stolon ctl restart pg2", doc: "one" },
    {
      line: "stolon ctl restart --rolling",
      doc: "all, after new PostgreSQL programs were installed",
    },
  ],
  extension: true,
})

export const reloadCommand = sub({
  name: "reload",
  summary: "have PostgreSQL load its configuration once more",
  about: [
    "Without KEEPER on all. For files that are only named there: certificates, included files.",
  ],
  flags: { ...timeout("30s", "how long to wait"), ...changing },
  usage: "[KEEPER]",
  max: 1,
  examples: [{ line: "stolon ctl reload", doc: "after certificates were renewed" }],
  extension: true,
})

export const recloneCommand = sub({
  name: "reclone",
  summary: "replace a standby's copy by a fresh one of the primary",
  about: [
    "Refused for the primary, and while there is no healthy primary to copy from. The old copy is set aside until the new one has",
    "proved itself.",
  ],
  flags: {
    "discard-old": {
      type: "bool",
      env: "none",
      group: own,
      doc: "remove the old copy first, where the disk is too small for two",
    },
    ...timeout("24h", "how long to wait; the copy goes on all the same"),
    "no-wait": {
      type: "bool",
      env: "none",
      group: own,
      conflicts: ["timeout"],
      doc: "return once the request is written",
    },
    ...changing,
  },
  usage: "KEEPER",
  max: 1,
  examples: [{ line: "stolon ctl reclone pg3", doc: "a fresh copy on pg3" }],
  extension: true,
})

export const configureCommand = sub({
  name: "configure",
  summary: "change single settings of the cluster specification",
  about: [
    "Shows what changes before it is written. KEY= or KEY=default goes back to the default; parts are named with dots.",
  ],
  flags: changing,
  usage: "KEY=VALUE…",
  max: Infinity,
  examples: [
    { line: "stolon ctl configure failInterval=10s sleepInterval=2s", doc: "two settings" },
    {
      line: "stolon ctl configure pgParameters.max_connections=200",
      doc: "a parameter of PostgreSQL",
    },
    { line: "stolon ctl configure --dry-run maxStandbyLag=", doc: "what a default would change" },
  ],
  extension: true,
})
