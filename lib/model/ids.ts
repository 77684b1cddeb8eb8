/**
 * Identities. Each is a string that no function takes for another; minted only by the schemas of
 * this folder (and by `uid()` of a seeded generator where a brain names something new).
 */
import type { Brand } from "#base/brand.ts"
import type { Random } from "#base/random.ts"

export type ClusterUID = Brand<string, "ClusterUID">
export type KeeperUID = Brand<string, "KeeperUID">
export type DBUID = Brand<string, "DBUID">
export type SentinelUID = Brand<string, "SentinelUID">
export type ProxyUID = Brand<string, "ProxyUID">
/** Names one run of a keeper's supervision of PostgreSQL (boot handshake, G6). */
export type BootUUID = Brand<string, "BootUUID">
/** New with every publish: the only sign of life (G7). */
export type InfoUID = Brand<string, "InfoUID">
/** Counts the versions of a DB's spec; 0 = nothing applied yet (G5). */
export type Generation = Brand<number, "Generation">
/** New with every promotion and reinstatement, kept by a revocation (protocol part 1). */
export type Epoch = Brand<string, "Epoch">
/** Marks one write of the view, so that its writer recognises it after a lost reply (W5). */
export type Nonce = Brand<string, "Nonce">

export const keeperUID = (s: string): KeeperUID => s as KeeperUID
export const dbUID = (s: string): DBUID => s as DBUID
export const sentinelUID = (s: string): SentinelUID => s as SentinelUID
export const proxyUID = (s: string): ProxyUID => s as ProxyUID
export const bootUUID = (s: string): BootUUID => s as BootUUID
export const infoUID = (s: string): InfoUID => s as InfoUID
export const generation = (n: number): Generation => n as Generation
/** Go's first generation of anything. */
export const firstGeneration = generation(1)
export const nextGeneration = (g: Generation): Generation => generation(g + 1)
/** Go's "nobody". */
export const noDB = dbUID("")
export const epoch = (s: string): Epoch => s as Epoch
export const nonce = (s: string): Nonce => s as Nonce

export const newDB = (random: Random): DBUID => random.uid() as DBUID
export const newEpoch = (random: Random): Epoch => random.uid() as Epoch
export const newNonce = (random: Random): Nonce => random.uid() as Nonce
export const newCluster = (random: Random): ClusterUID => random.uid() as ClusterUID

/** The prefix of slots and application names that belong to the keepers (G12). */
export const slotPrefix = "stolon_"
export const slotOf = (db: DBUID): string => `${slotPrefix}${db}`
/**
 * The standby name that never exists: it makes a synchronous primary wait when nobody else is left
 * (5.8).
 */
export const fakeStandby = "stolonfakestandby"
