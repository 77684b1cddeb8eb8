/**
 * Flags that commands share which change something: do it without asking, or only show what would
 * be done. `--dry-run` never writes; it is ours, so a Go name does not know it.
 */
import { table } from "./flag.ts"

const own = "Command"

export const dryRun = table({
  "dry-run": {
    type: "bool",
    env: "none",
    only: "stolon",
    group: own,
    doc: "show what would be written, and write nothing",
  },
})

/** For commands of Go's that do not ask there. */
export const yesHere = table({
  yes: {
    type: "bool",
    shorthand: "y",
    env: "none",
    only: "stolon",
    group: own,
    doc: "do not ask for confirmation",
  },
})

/** A specification by name, as guides show it. */
export const specFlag = table({
  "cluster-spec": {
    type: "string",
    env: "none",
    only: "stolon",
    group: own,
    placeholder: "SPEC",
    conflicts: ["file"],
    doc: "the specification as JSON; the same as SPEC",
  },
})
