/** The Consul backend against one real server, and against three. */
import { afterAll, beforeAll, describe, test } from "bun:test"
import { type ConsulCluster, consulMissing, startConsul } from "./consul.ts"
import { consulSkips } from "./consul-skips.ts"
import { settingsOf } from "./scene.ts"
import { storeConformance } from "./store.ts"

for (const servers of [1, 3] as const)
  describe(`${servers} of Consul's servers`, () => {
    if (consulMissing !== null) {
      test.skip(`the store suite (skipped: ${consulMissing})`, () => {})
      return
    }
    let consul: ConsulCluster
    beforeAll(async () => {
      consul = await startConsul({ servers })
    }, 90_000)
    afterAll(() => consul[Symbol.asyncDispose]())
    storeConformance({
      name: "consul",
      settings: (clusterName) => settingsOf("consul", consul.endpoints, clusterName),
      skip: consulSkips,
    })
  })
