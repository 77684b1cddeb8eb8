/** What the suite of all stores cannot ask of Consul. */
import type { Backend } from "./store.ts"

export const consulSkips: Backend["skip"] = [
  {
    reason: "no session of Consul ends within ten seconds; see consul-sessions.test.ts",
    tests: [
      "publish() keeps the key while it is repeated, and it vanishes when that ends",
      "publish() of a process that was killed vanishes",
      "publish() follows a changed ttl",
      "watch() of everything wakes for an info that is published, withdrawn, run out",
      "campaign() takes over from a killed leader within its time to live",
      "leadership ends in a leader that was frozen, and its late write is refused",
    ],
  },
  {
    reason: "a lock and no queue: who waits leaves no trace; see consul-sessions.test.ts",
    tests: [
      "campaign() elects one, in the order of standing",
      "campaign() that is aborted leaves no candidate behind",
      "D-56 unseat() takes the office from the leader that it names, and from nobody else",
      "leadership ends when somebody removes its key",
    ],
  },
]
