/**
 * What a process feels of its disk and its clock: the other side of `native/preload.c`, which reads
 * the file that is written here. One file per component, so that one process's clock can be wrong
 * while its neighbours' is right.
 *
 * Clocks never go back when a rate is healed: what was lost stays lost, as on a real machine.
 */
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs"
import { bootMillis } from "#system/libc.ts"

export interface Trouble {
  /** For the process's environment. */
  readonly environment: Readonly<Record<string, string>>
  /** Adds to its wall clock. */
  step(ms: number): void
  /** 1 is true; 0.8 shows 800 ms after a second. */
  rate(factor: number): void
  disk(state: Disk): void
}

export type Disk =
  | { readonly kind: "well" }
  | { readonly kind: "slow"; readonly fsyncMs: number; readonly writeMs: number }
  | { readonly kind: "hung" }
  | { readonly kind: "full" }

const size = 328
const noSpace = 28n // ENOSPC

/** `below` is the directory whose files count as being on the disk. */
export function newTrouble(file: string, preload: string, below: string): Trouble {
  const bytes = new DataView(new ArrayBuffer(size))
  new TextEncoder().encodeInto(below, new Uint8Array(bytes.buffer, 64, 255))
  const now = { step: 0n, lag: 0n, rate: 1_000_000n, since: 0n }
  let disk: Disk = { kind: "well" }
  let writes = 0n
  writeFileSync(file, new Uint8Array(size), { mode: 0o644 })
  const apply = (): void => {
    const [fsync, write, error] = numbers(disk)
    const fields = [++writes, now.step, now.lag, now.rate, now.since, fsync, write, error]
    for (const [i, field] of fields.entries()) bytes.setBigInt64(i * 8, field, true)
    bytes.setBigInt64(size - 8, writes, true)
    // In three writes, so that a reader in between sees that it is one.
    const fd = openSync(file, "r+")
    const all = new Uint8Array(bytes.buffer)
    writeSync(fd, all, 0, 8, 0)
    writeSync(fd, all, 8, size - 16, 8)
    writeSync(fd, all, size - 8, 8, size - 8)
    closeSync(fd)
  }
  apply()
  return {
    environment: { LD_PRELOAD: preload, FAULTS_CONTROL: file },
    step: (ms) => {
      now.step = BigInt(ms) * 1_000_000n
      apply()
    },
    rate: (factor) => {
      const at = BigInt(Math.round(bootMillis() * 1e6))
      now.lag += ((at - now.since) * (1_000_000n - now.rate)) / 1_000_000n
      now.rate = BigInt(Math.round(factor * 1e6))
      now.since = at
      apply()
    },
    disk: (state) => {
      disk = state
      apply()
    },
  }
}

function numbers(disk: Disk): readonly [fsync: bigint, write: bigint, error: bigint] {
  switch (disk.kind) {
    case "well":
      return [0n, 0n, 0n]
    case "slow":
      return [BigInt(disk.fsyncMs), BigInt(disk.writeMs), 0n]
    case "hung":
      return [-1n, -1n, 0n]
    case "full":
      return [0n, 0n, noSpace]
    default:
      return disk satisfies never
  }
}
