/**
 * The bugs that the simulator must find, by name. Each is something that a careful person could
 * write.
 */
import type { Mutation } from "./mutation.ts"

export const mutations: Readonly<Record<string, Mutation>> = {
  /** Go stolon's D-01: candidates in the wrong order. */
  "elect the least advanced": {
    file: "lib/sentinel/candidates.ts",
    find: "descending(by((fact) => fact.position, byBigint))",
    put: "by((fact) => fact.position, byBigint)",
    breaks: ["W2 most advanced", "P2 no lost commit"],
    focus: ["lagThenKill"],
  },
  /** The gate closes, but nobody waits until the proxies have obeyed. */
  "skip the gate": {
    file: "lib/sentinel/primary.ts",
    find: "unacknowledged(data, facts).length > 0",
    put: "false",
    breaks: ["W2 fenced", "P1 one writer", "P2 no lost commit"],
    focus: ["cutThenProxies"],
  },
  /** A lost compare-and-swap counts as done. */
  "adopt memory on conflict": {
    file: "lib/agent/sentinel.ts",
    find: 'if (written.kind === "conflict") return log.event(event("write.conflict"))',
    put: "",
    breaks: ["W5 told only what was written"],
    focus: ["meddle", "killMachine", "killPostgres"],
  },
}
