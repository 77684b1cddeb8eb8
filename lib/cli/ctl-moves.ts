/**
 * Subcommands of `ctl` that move the primary, and the one that says why it does not move. A Go name
 * does not know them (`extension`).
 */
import { dryRun, yesHere } from "./ctl-changes.ts"
import { sub } from "./ctl.ts"
import { table } from "./flag.ts"

const own = "Command"

/** For commands whose end a program may want to read. */
const format = table({
  format: {
    type: "string",
    default: "text",
    shorthand: "f",
    env: "none",
    group: own,
    placeholder: "text|json",
    rule: (text) => (text === "text" || text === "json" ? null : "expected text or json"),
    doc: "text for people, json for programs",
  },
})
const waiting = table({
  timeout: {
    type: "duration",
    default: "60s",
    env: "none",
    group: own,
    doc: "how long to wait for the new primary",
  },
  "no-wait": {
    type: "bool",
    env: "none",
    group: own,
    conflicts: ["timeout"],
    doc: "return once the request is written",
  },
})

export const switchoverCommand = sub({
  name: "switchover",
  summary: "move the primary to another keeper; no transaction fails",
  about: [
    "For a primary that is well: maintenance, upgrades, another machine. Proxies let begun transactions end and hold new ones, the",
    "old primary stops in good order, the standby takes over with all of it, and clients go on. When anything is in the way, or",
    "goes wrong, the old primary stays or is put back. Without KEEPER the leader takes the standby that is furthest.",
    "For a primary that is dead or sick use failover: it waits for nobody's transactions.",
  ],
  flags: {
    to: {
      type: "string",
      env: "none",
      group: own,
      placeholder: "KEEPER",
      doc: "keeper that shall become the primary; the same as KEEPER",
    },
    "drain-timeout": {
      type: "duration",
      default: "5s",
      env: "none",
      group: own,
      doc: "how long begun transactions may take to end before they are cut",
    },
    ...waiting,
    ...format,
    ...yesHere,
    "dry-run": {
      ...dryRun["dry-run"],
      doc: "say who would be the primary, or why it would be refused, and write nothing",
    },
  },
  usage: "[KEEPER]",
  max: 1,
  examples: [
    { line: "stolon ctl switchover --to pg2", doc: "pg2 becomes the primary" },
    { line: "stolon ctl switchover --dry-run", doc: "who would, or why nobody may" },
  ],
  extension: true,
})

export const failoverCommand = sub({
  name: "failover",
  summary: "have another keeper take over from a dead or sick primary",
  about: [
    "Asks the leading sentinel, then waits and tells what happens. Clients are cut at once. Without KEEPER the leader chooses. What",
    "would lose an acknowledged commit that the old primary can still prove is refused, and so is what would leave nobody: then it goes on.",
    "For a primary that is well use switchover: it lets transactions end.",
  ],
  flags: {
    keeper: {
      type: "string",
      env: "none",
      group: own,
      placeholder: "UID",
      doc: "keeper that shall become the primary; the same as KEEPER",
    },
    to: {
      type: "string",
      env: "none",
      group: own,
      placeholder: "UID",
      doc: "the same as --keeper, as switchover has it",
    },
    ...waiting,
    ...yesHere,
    ...dryRun,
  },
  usage: "[KEEPER]",
  max: 1,
  examples: [{ line: "stolon ctl failover pg2", doc: "pg2 becomes the primary" }],
  extension: true,
})

export const explainCommand = sub({
  name: "explain",
  summary: "tell who may be the primary and why not, and what is being waited for",
  about: [
    "What the leading sentinel thinks, by its own rules applied to one look at the store: who saw what, whether the primary runs under",
    "a lease and who could prolong it, and which command resolves what is being waited for.",
  ],
  flags: format,
  examples: [
    { line: "stolon ctl explain", doc: "why nothing happens, and which command resolves it" },
  ],
  extension: true,
})
