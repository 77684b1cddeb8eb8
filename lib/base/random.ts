/**
 * Chance as an argument. A brain gets a seed and draws from `generator(seed)`; the seed comes from
 * floor 3 (real entropy) or from the simulator, so every run can be repeated.
 */
export interface Random {
  /** A number in [0, 1). */
  readonly next: () => number
  /** An integer in [0, n). */
  readonly below: (n: number) => number
  /** Eight lower-case hexadecimal digits: Go stolon's form of a UID. */
  readonly uid: () => string
}

/**
 * mulberry32: 32 bits of state, good enough to spread choices and to name things; never for
 * secrets.
 */
export function generator(seed: number): Random {
  let state = seed >>> 0
  const word = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  return {
    next: () => word() / 0x1_0000_0000,
    below: (n) => Math.floor((word() / 0x1_0000_0000) * n),
    uid: () => word().toString(16).padStart(8, "0"),
  }
}
