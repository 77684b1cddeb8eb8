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
    file: "lib/sentinel/fence.ts",
    find: "ended && unacknowledged(data, facts).length === 0",
    put: "ended",
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
  /** D-04: the proxies have obeyed, and that is all that is asked of the new primary. */
  "open the gate on acknowledgement alone": {
    file: "lib/sentinel/gate.ts",
    find: "...unready(primary, round.facts),",
    put: "",
    breaks: ["W3", "W3 synchronous names in force", "P2 no lost commit"],
    focus: ["killMachine", "cutThenProxies"],
  },
  /** D-07: nobody is named but the standby that never answers, so nobody is missing. */
  "lift the guard with an empty list": {
    file: "lib/keeper/primary.ts",
    find: "return wanted.length > 0 && sameSet(",
    put: "return sameSet(",
    breaks: ["6.6 nothing hung is shown"],
    focus: ["killMachine", "killPostgres", "freezeMachine"],
  },
  /** D-06: whoever restarts a synchronous primary lets everybody in at once. */
  "no guard at the start": {
    file: "lib/keeper/primary.ts",
    find: 'synchronous(world) && world.local.db.generation > 0 ? "restarted" : "none"',
    put: '"none"',
    breaks: ["6.6 nothing hung is shown"],
    focus: ["killPostgres", "cutHost"],
  },
  /** D-28: being advanced is enough. */
  "elect who may not be master": {
    file: "lib/sentinel/candidates.ts",
    find: 'if (fact.keeper.keeper?.status.canBeMaster === false) return "its keeper may not be master"',
    put: "",
    // the primary that it makes may be left alone with a keeper that may not be synchronous
    breaks: ["W2 may be master", "P5 nothing sticks"],
    focus: ["otherFlags", "killMachine"],
  },
  /** D-21: what is missing is counted without looking at the sign. */
  "let the number of missing standbys wrap": {
    file: "lib/sentinel/standbys.ts",
    find: "const missing = Math.max(0, round.facts.spec.maxStandbysPerSender - present.length - made)",
    put: "const missing = (round.facts.spec.maxStandbysPerSender - present.length - made) & 0xffff",
    breaks: ["D-21 no more than wanted"],
    focus: ["limits", "killKeeper"],
  },
  /** D-08: what is in the way of a fresh copy is deleted. */
  "delete instead of setting aside": {
    file: "lib/keeper/install.ts",
    find: ': { kind: "set-aside", reason:',
    put: ': { kind: "discard-data", reason:',
    breaks: ["P3 last copy"],
    focus: ["lagThenKill", "cutThenProxies"],
  },
  /** S4: a primary that was stopped on request is left behind with what it had. */
  "a wish is worth a commit": {
    file: "lib/sentinel/succession.ts",
    find: "if (best !== undefined && present && lacks(data, primary, best, fence))",
    put: "if (false)",
    breaks: ["P2 no lost commit"],
    focus: ["failover", "lag"],
  },
}
