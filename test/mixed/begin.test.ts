/** A cluster comes up and heals whoever its parts are: every mix of makers, one failover each. */
import { expect, test, setDefaultTimeout } from "bun:test"
import { mixed } from "./mixed.ts"

setDefaultTimeout(60_000) // a busy machine; each takes a second

const all = ["k1", "k2", "k3", "s1", "p1", "p2"]
const mixes: readonly (readonly [string, readonly string[]])[] = [
  ["Go alone (the scripted peers among themselves)", all],
  ["ours alone", []],
  ["our keepers under a Go leader", ["s1", "p1", "p2"]],
  ["our leader over Go keepers and proxies", ["k1", "k2", "k3", "p1", "p2"]],
  ["our proxies in a Go cluster", ["k1", "k2", "k3", "s1"]],
  ["one of each under our leader", ["k2", "p2"]],
  ["one of each under a Go leader", ["k2", "p2", "s1"]],
]

for (const [what, go] of mixes)
  for (const sync of [false, true])
    test(`a cluster of ${what} begins, fails over and heals${sync ? ", synchronously" : ""}`, () => {
      using m = mixed({ go, keepers: 3, proxies: 2, spec: { synchronousReplication: sync } })
      m.rest()
      const old = m.primary()
      m.crash(old)
      m.until("another primary", () => m.primary() !== old && m.primary() !== "")
      m.until("an open gate", () => m.data().proxy.spec.masterDbUid !== "")
      m.start(old)
      m.rest()
      expect(m.primary()).not.toBe(old)
      expect(m.standbys()).toContain(old)
    })
