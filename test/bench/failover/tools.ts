/**
 * Small things that several files of the bench need. Nothing here knows a system.
 */
import { cpus, release } from "node:os"
import { setTimeout as pause } from "node:timers/promises"
import { byNumber } from "#base/order.ts"
import type { Random } from "#base/random.ts"

/** A bench measures time, so here, unlike in tests, it may also pass. */
export const sleep = (ms: number): Promise<void> => pause(ms)

export function at<T>(items: readonly T[], i: number): T {
  const item = items[i]
  if (item === undefined) throw new Error(`there is no number ${i} of ${items.length}`)
  return item
}

/** What the person who runs a bench has set in the environment. */
export const setting = (name: string, otherwise: string): string => process.env[name] ?? otherwise
/** Those of `all` that the setting names, parted by commas; all where it names none. */
export const chosen = <T extends { readonly id: string }>(
  name: string,
  all: readonly T[],
): readonly T[] => {
  const wanted = setting(name, "")
    .split(",")
    .filter((word) => word !== "")
  const unknown = wanted.filter((word) => !all.some(({ id }) => id === word))
  if (unknown.length > 0)
    throw new Error(`${name}: no ${unknown.join()}; there are ${all.map(({ id }) => id).join()}`)
  return wanted.length === 0 ? all : all.filter(({ id }) => wanted.includes(id))
}

/** What all numbers depend on. */
export const hardware = (): readonly [cores: string, system: string] => [
  `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"})`,
  `Linux ${release()}`,
]

/** Runs a command to its end; throws with what it printed when it fails. */
export async function output(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const child = Bun.spawn([...command], { stdio: ["ignore", "pipe", "pipe"], env, cwd: "/tmp" })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${out}${err}`)
  return out
}

/** What a program says of its version, as far as `pattern` finds it there. */
export async function versionOf(
  command: readonly string[],
  pattern: RegExp,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  return pattern.exec(await output(command, env))?.[0] ?? command.join(" ")
}

/** More than a busy machine does to a process that wants to run. */
export const standstillMax = 2_000

export interface Standstill extends Disposable {
  /** Milliseconds for which this process did not run, at the longest. */
  readonly longest: number
}

/**
 * Watches the bench itself: stopped together with everything in its process group, it would see a
 * cluster that hangs, of which the guardians alone, in sessions of their own, go on.
 */
export function watchStandstill(): Standstill {
  let last = performance.now()
  let longest = 0
  const look = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - last - lookMs)
    last = now
  }
  const timer = setInterval(look, lookMs)
  return {
    get longest() {
      look()
      return longest
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
const lookMs = 100

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted(byNumber)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

export function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  const left = [...items]
  return items.flatMap(() => left.splice(random.below(left.length), 1))
}

/** The number below which this share of the numbers lies; 1 gives the greatest. */
export function quantile(times: readonly number[], share: number): number {
  const sorted = times.toSorted(byNumber)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
}
