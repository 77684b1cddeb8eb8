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
  /** W6: who was away for long believes that everybody else was. */
  "count silence through a gap": {
    file: "lib/sentinel/memory.ts",
    find: "const gap = memory.readAt === null || mono - memory.readAt > gapLimit(spec, memory.pace)",
    put: "const gap = memory.readAt === null",
    breaks: ["W6 silence"],
    focus: ["storeGone", "freezeSentinel", "splitStore"],
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
    find: "return fact.keeper.keeper?.status.canBeMaster === false\n",
    put: "return fact.keeper.keeper?.status.canBeMaster === null\n",
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
  /** L1: a lease that is as long as the store was slow. */
  "count the lease from the answer": {
    file: "lib/agent/keeper-lease.ts",
    find: "keeper.lease = prolonged(before, given, start, keeper.rule)",
    put: "keeper.lease = prolonged(before, given, clock.now().mono, keeper.rule)",
    breaks: ["L1 lease", "L7 stated lease", "L3 fenced", "P1 one writer"],
    focus: ["storeSlow", "cutHost"],
  },
  /** O2: what was promised is forgotten with the process that promised it. */
  "forget the promise at a restart": {
    file: "lib/agent/keeper-vows.ts",
    find: "if (promise === null) return",
    put: "if (promise === null || promise.width > 0) return",
    breaks: ["O2 promise", "P1 one writer"],
    focus: ["returnWithPromise"],
  },
  /** O2: the promise is given, and written down when the disk has time. */
  "promise before it is on disk": {
    file: "lib/agent/keeper-promise.ts",
    find: "await ports.postgres.promise(toKeep(before, made, ports.clock.now().mono), signal)",
    put: "void ports.postgres.promise(toKeep(before, made, ports.clock.now().mono), signal)",
    breaks: ["L1 lease", "O2 promise", "P1 one writer"],
    focus: ["storeGone", "slowDisk"],
  },
  /** O2: a promise is published and kept on disk, and nobody keeps it. */
  "promote in spite of a promise": {
    file: "lib/keeper/lease.ts",
    find: "if (promised !== null && promised > now)",
    put: "if (promised !== null && promised > now && false)",
    breaks: ["O2 promise", "P1 one writer"],
    focus: ["returnWithPromise"],
  },
  /** O1: whoever does not answer will not object. */
  "prolong without all promises": {
    file: "lib/agent/keeper-promise.ts",
    find: "if (missing.length > 0) {",
    put: "if (missing.length > appeal.keepers.length) {",
    breaks: ["L1 lease", "L3 fenced", "P1 one writer", "L5 lease"],
    focus: ["cutHost", "splitStore"],
  },
  /** L3: a certificate is one, whatever it was about. */
  "trust a certificate of any epoch": {
    file: "lib/sentinel/fence.ts",
    find: 'fence !== null && fence.epoch !== "" && certificate?.epoch === fence.epoch',
    put: "fence !== null && certificate !== undefined",
    breaks: ["agents run", "L3 fenced", "P1 one writer", "P2 no lost commit"],
    focus: ["failover", "killPostgres", "cutHost"],
  },
  /** L4: who refuses connections must be dead. */
  "take evidence for a fence": {
    file: "lib/sentinel/fence.ts",
    find: 'if (certificateOf(primary, fence) !== null) return "certificate"',
    put: 'if (certificateOf(primary, fence) !== null || primary.keeper.failed) return "certificate"',
    breaks: ["L3 fenced", "P1 one writer", "P2 no lost commit"],
    focus: ["cutHost", "splitStore", "killKeeper"],
  },
  /** L3: the lease counts from when it was revoked, not from when it was last seen renewed. */
  "forget the length of the lease": {
    file: "lib/sentinel/lease.ts",
    find: "const ends = (from: Millis, length: Millis): Millis => millis(from + drift * length)",
    put: "const ends = (from: Millis, length: Millis): Millis => millis(from + 0.5 * length)",
    breaks: ["L3 fenced", "P1 one writer", "P2 no lost commit"],
    focus: ["failKeeper", "cutHost"],
  },
  /** L7: what the specification says now is what was in force a moment ago. */
  "state the last lease instead of the longest": {
    file: "lib/keeper/lease.ts",
    find: "const most = Math.max(left, widthOf(rule), rule.wanted.lease)",
    put: "const most = Math.min(left + rule.wanted.lease, rule.wanted.lease)",
    breaks: ["L7 stated lease", "L3 fenced", "P1 one writer"],
    focus: ["fencingLease", "cutHost"],
  },
  /** O3: the next set before the primary knows the present one. */
  "grow the electable set unacknowledged": {
    file: "lib/sentinel/electable.ts",
    find: 'return known(uid) ? null : "the primary has not taken it into its electable set"',
    put: "return null",
    breaks: ["O3 electable", "L1 lease", "L3 fenced", "P1 one writer"],
    focus: ["splitStore", "killMachine", "lagThenKill", "cutHost"],
  },
  /** L5: the guardian keeps the patience that a standby gets. */
  "promote without a lease": {
    file: "lib/agent/keeper-lease.ts",
    find: "  if (!keeper.rule.used.on) return\n  if (!(await tell",
    put: "  if (keeper.rule.used.on) return\n  if (!(await tell",
    breaks: ["L5 lease", "P1 one writer", "L3 fenced", "P5 nothing sticks"],
    focus: ["killMachine", "failover", "hiccups"],
  },
  /** P6: nobody asks, so the primary ends with its lease. */
  "never ask for promises": {
    file: "lib/keeper/promise.ts",
    find: "return Number.isFinite(width) ? { lease: given, keepers, width } : null",
    put: "return null",
    breaks: ["P6 store outage"],
    focus: [],
  },
  /** D4: whoever leads is put out of office when it is not heard at once. */
  "unseat whoever is silent": {
    file: "lib/agent/sentinel-doors.ts",
    find: 'if (door !== "refused" || self.leads())',
    put: "if (self.leads())",
    breaks: ["D4 unseated"],
    focus: ["freezeSentinel", "cutMachine"],
  },
  /** Clocks whose rates differ by a fifth: the one assumption that everything rests on. */
  "let clocks drift by a fifth": {
    file: "test/sim/draw.ts",
    find: "const drift = 0.024",
    put: "const drift = 0.1",
    breaks: ["L3 fenced", "P1 one writer", "P2 no lost commit", "L1 lease", "O4 answer"],
    focus: ["cutHost", "splitStore", "storeGone"],
  },
  /** S4: a primary that was stopped on request is left behind with what it had. */
  "a wish is worth a commit": {
    file: "lib/sentinel/succession.ts",
    find: "if (best !== undefined && present && lacks(data, round, primary, best, fence))",
    put: "if (false)",
    breaks: ["P2 no lost commit"],
    focus: ["failover", "lag"],
  },
  /** W9: a timeline is its number. */
  "whose timeline it is does not count": {
    file: "lib/model/lineage.ts",
    find: "return other !== null && other !== db",
    put: "return false",
    breaks: ["P5 nothing sticks"],
    focus: ["failover", "lag", "killMachine"],
  },
  /** W4: a decision is sent however old it is. */
  "send old decisions": {
    file: "lib/agent/sentinel.ts",
    find: "clock.now().mono - started > ageMax || held.signal.aborted",
    put: "held.signal.aborted",
    breaks: ["W4 young decision"],
    focus: ["freezeSentinel", "hiccups", "killMachine", "storeSlow"],
  },
  /** O4: the answer holds from when it came. */
  "count the answer about a lease from its coming": {
    file: "lib/agent/proxy-word.ts",
    find: "const word = wordOf(claim, witness, sentAt, now)",
    put: "const word = wordOf(claim, witness, now.mono, now)",
    breaks: ["O4 answer"],
    focus: ["storeGone", "peersLossy", "splitStore"],
  },
}
