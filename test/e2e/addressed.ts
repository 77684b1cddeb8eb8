/** A store that is reached by the addresses of its servers alone. */
import type { StoreSettings } from "#port/store.ts"
import { settingsOf } from "#test/conformance/scene.ts"
import { type Platform, clusterName } from "./cluster.ts"

export function addressed(
  backend: Exclude<StoreSettings["backend"], "sqlite" | "kubernetes">,
  endpoints: readonly string[],
): Platform {
  const flags = [`--store-backend=${backend}`, `--store-endpoints=${endpoints.join()}`]
  const settings = settingsOf(backend, endpoints, clusterName)
  return {
    ...{ settings, flags, inside: flags },
    prepare: async () => ({}),
    settingsOf: async () => settings,
  }
}
