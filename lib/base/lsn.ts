/**
 * Log sequence numbers: positions in the write-ahead log, 64 bits, so bigint (PostgreSQL
 * documentation, section 8.20).
 */
import type { Brand } from "./brand.ts"

export type LSN = Brand<bigint, "LSN">
export const lsn = (n: bigint): LSN => n as LSN
export const zeroLsn = lsn(0n)

const pattern = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/** Parses `16/B374D848`. Returns null for anything else. */
export function parseLsn(text: string): LSN | null {
  const match = pattern.exec(text)
  if (!match) return null
  return lsn((BigInt(`0x${match[1] ?? "0"}`) << 32n) | BigInt(`0x${match[2] ?? "0"}`))
}

/** Prints as PostgreSQL does: `16/B374D848`. */
export const formatLsn = (position: LSN): string =>
  `${(position >> 32n).toString(16).toUpperCase()}/${(position & 0xffff_ffffn).toString(16).toUpperCase()}`

export const maxLsn = (a: LSN, b: LSN): LSN => (a > b ? a : b)
