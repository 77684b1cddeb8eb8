/**
 * Real entropy, from the operating system: seeds for the brains' generators and names for things.
 * Brains never import this; they get a seed.
 */
import { randomBytes, randomUUID } from "node:crypto"
import type { Chance } from "#port/clock.ts"

export const realChance: Chance = {
  seed: () => randomBytes(4).readUInt32LE(),
  uid: () => randomBytes(4).toString("hex"),
  uuid: () => randomUUID(),
}
