/**
 * Finding the guardian of a data directory, or making one.
 *
 * The file `guardian.json` only says where to look. A guardian counts as alive when its process is
 * (pid, start time and machine boot agree) and it answers on its socket. One that lives and does
 * not answer cannot enforce anything, so it is killed; the kernel then ends its PostgreSQL. Two
 * guardians cannot meet: each holds a lock for its life.
 */
import { realpath } from "node:fs/promises"
import { join } from "node:path"
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import {
  type Address,
  addressFile,
  addressSchema,
  type Ready,
  readySchema,
  type Welcome,
} from "#system/protocol.ts"
import type { Level } from "#model/events.ts"
import type { Clock } from "#port/clock.ts"
import { track } from "#system/children.ts"
import { readIfPresent } from "#system/files.ts"
import { findInstance } from "#system/instance.ts"
import type { Identity } from "#system/libc.ts"
import { type Connection, connectLines, type Handlers } from "#system/lines.ts"
import { bootId, isAlive, type ProcessId, signalProcess } from "#system/process.ts"
import { childEnvironment, selfCommand } from "#system/self.ts"

export interface Found {
  readonly connection: Connection
  readonly address: Address
  /** It was there before us. */
  readonly adopted: boolean
  /** Until when it lets PostgreSQL live under a lease; null: under none. */
  readonly leased: number | null
}

export interface Wanted {
  readonly dataDir: string
  readonly pgData: string
  readonly clock: Clock
  /** The deadline of a new guardian until its first hold. */
  readonly until: Millis
  readonly identity?: Identity
  readonly log?: { readonly level: Level; readonly format: "text" | "json" }
}

/** Says hello. */
export type Greet = (connection: Connection, signal: AbortSignal) => Promise<Welcome>

/**
 * How long a living guardian may be silent before it counts as frozen, and a starting one may take.
 */
const patienceMs = 3_000
const pollMs = 20

/** A connection to the guardian of `dataDir`, which is started when there is none. */
export async function acquireGuardian(
  wanted: Wanted,
  handlers: Handlers,
  greet: Greet,
  signal: AbortSignal,
): Promise<Found> {
  const { clock, dataDir } = wanted
  const patience = (): AbortSignal => clock.deadline(millis(patienceMs), signal)
  const turns = clock.deadline(millis(3 * patienceMs), signal)
  for (;;) {
    const address = await livingGuardian(dataDir)
    if (address !== null) {
      const found = await meet(address, clock, handlers, greet, patience())
      signal.throwIfAborted()
      if (found !== null) return { ...found, adopted: true }
      // Frozen. The kernel ends its PostgreSQL with it; the new guardian waits for that to be over.
      signalProcess(address, "SIGKILL")
      await untilDead(address, clock, patience())
      continue
    }
    const ready = await spawnGuardian(wanted, patience())
    if (!("failed" in ready)) {
      const found = await meet(ready.ready, clock, handlers, greet, patience())
      if (found !== null) return { ...found, adopted: false }
    } else if (!ready.held) throw new Error(`cannot start the guardian: ${ready.failed}`)
    // Somebody holds the lock: a guardian that is just ending, or has not yet written where it is.
    await clock.sleep(millis(pollMs), turns)
  }
}

/** Where the guardian is, if the process that wrote it down still lives. */
async function livingGuardian(dataDir: string): Promise<Address | null> {
  const text = await readIfPresent(join(dataDir, addressFile))
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), addressSchema), text)
  if (!parsed.success) return null
  const address = parsed.output
  return address.machineBoot === bootId() && isAlive(address) ? address : null
}

/**
 * Connects and greets, again while its process lives and time is left; null when it does not
 * answer.
 */
async function meet(
  address: Address,
  clock: Clock,
  handlers: Handlers,
  greet: Greet,
  signal: AbortSignal,
): Promise<Omit<Found, "adopted"> | null> {
  while (!signal.aborted && isAlive(address)) {
    try {
      const connection = await connectLines(address.socket, handlers)
      try {
        const { boot, leased } = await greet(connection, signal)
        if (boot === address.boot) return { connection, address, leased }
      } catch {
        // It went away, or time is up: the loop's condition tells.
      }
      connection.close()
    } catch {
      // Refused or missing: it is just ending.
    }
    await clock.sleep(millis(pollMs), signal).catch(() => undefined)
  }
  return null
}

/** Resolves when the process is gone or the signal aborts; true when it is gone. */
export async function untilDead(
  id: ProcessId,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  while (isAlive(id)) {
    if (signal.aborted) return false
    await clock.sleep(millis(pollMs), signal).catch(() => undefined)
  }
  return true
}

/**
 * Resolves when no PostgreSQL is left in its data directory or the signal aborts; true when none
 * is.
 */
export async function untilEmpty(
  pgData: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const real = await realpath(pgData).catch(() => pgData)
  while (findInstance(real) !== null) {
    if (signal.aborted) return false
    await clock.sleep(millis(pollMs), signal).catch(() => undefined)
  }
  return true
}

/** Starts a guardian in a session of its own and waits for its first words. */
async function spawnGuardian(wanted: Wanted, signal: AbortSignal): Promise<Ready> {
  const { identity, dataDir, pgData, until, log } = wanted
  const orders = ["--data-dir", dataDir, "--pg-data", pgData, "--until", `${until}`]
  const style = log === undefined ? [] : ["--log-level", log.level, "--log-format", log.format]
  const argv = [...selfCommand(), "guardian", ...orders, ...style]
  const child = Bun.spawn(identity === undefined ? argv : asUser(identity, argv), {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
    env: childEnvironment(),
    cwd: "/",
  })
  track(child)
  child.unref() // it is meant to outlive us
  const reader = child.stdout.getReader()
  const abort = (): void => void reader.cancel()
  signal.addEventListener("abort", abort, { once: true })
  try {
    const decoder = new TextDecoder()
    let text = ""
    while (!text.includes("\n")) {
      const { value, done } = await reader.read()
      if (done) break
      text += decoder.decode(value, { stream: true })
    }
    signal.throwIfAborted()
    if (text === "") throw new Error(`the guardian ended at once, with code ${await child.exited}`)
    return v.parse(v.pipe(v.string(), v.parseJson(), readySchema), text)
  } finally {
    signal.removeEventListener("abort", abort)
    void reader.cancel()
  }
}

const asUser = (identity: Identity, argv: readonly string[]): string[] => [
  ...selfCommand(),
  "launch",
  "--uid",
  `${identity.uid}`,
  "--gid",
  `${identity.gid}`,
  "--groups",
  identity.groups.join(),
  "--",
  ...argv,
]
