/** Ids in tests of the adapter. */
import type { ClusterUID, Epoch } from "#model/ids.ts"

export { dbUID, keeperUID } from "#model/ids.ts"
// Brands are minted by the schemas; tests need two more.
export const clusterUID = (text: string): ClusterUID => text as ClusterUID
export const epoch = (text: string): Epoch => text as Epoch
