/**
 * What the keeper's loops share. One object, because they look at the same machine; each field says
 * who writes it.
 */
import type { Millis, Time } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { Claim } from "#keeper/claim.ts"
import type { Desired } from "#keeper/desire.ts"
import { type Memory, emptyMemory } from "#keeper/memory.ts"
import type { Plan } from "#keeper/plan.ts"
import type { Settings } from "#keeper/settings.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { Local } from "#model/local.ts"
import { defaults } from "#model/spec.ts"
import type { Step } from "#model/step.ts"
import type { Chance, Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { Postgres } from "#port/postgres.ts"
import type { Store } from "#port/store.ts"
import { type Bell, bell } from "./loop.ts"

export interface KeeperPorts {
  readonly store: Store
  readonly postgres: Postgres
  readonly clock: Clock
  readonly chance: Chance
  readonly log: Log
}

/** What the flags say; the boot UUID belongs to the supervision and may change. */
export interface KeeperOptions extends Omit<Settings, "boot"> {
  /** Hears what metrics and health checks show, after each round. */
  readonly report: (state: KeeperState) => void
}

export type RoleName = "undefined" | "master" | "standby"
export interface KeeperState {
  /** Wall-clock time of the last good view; null before. */
  readonly lastView: Time | null
  /** Null before the first view. */
  readonly targetRole: RoleName | null
  readonly localRole: RoleName
  readonly needsReload: boolean
  readonly needsRestart: boolean
  /** Wall-clock time at which everything asked for was last seen done. */
  readonly lastSync: Time | null
  readonly sleepInterval: Millis
}

/** A step that runs beside the loop. */
export interface Work {
  readonly step: Step
  /**
   * What the plan was made from: the world changes by the step itself, so a later view is judged
   * against these.
   */
  readonly local: Local
  readonly memory: Memory
  readonly controller: AbortController
  /** Resolves when it has ended, however. */
  readonly ended: Promise<void>
}

export interface Keeper {
  readonly ports: KeeperPorts
  readonly options: KeeperOptions
  /** Wakes the tick. */
  readonly wake: Bell
  /** Wakes the publishing. */
  readonly news: Bell
  // written by the tick
  sleepInterval: Millis
  failInterval: Millis
  memory: Memory
  plan: Plan | null
  desired: Desired | null
  local: Local | null
  view: { readonly data: ClusterData | null; readonly readAt: Millis } | null
  viewTime: Time | null
  syncTime: Time | null
  /** Whether the uid is ours to use (D-16). */
  claim: Claim
  /** Why the last view could not be used; empty when it could. */
  trouble: string
  storeFailed: boolean
  /** The last step that was tried did not succeed. */
  failing: boolean
  /** What became of it, for status; empty when it succeeded. */
  failure: string
  // written by the work itself
  work: Work | null
  progress: string
  // written by the publishing
  published: string
}

export function newKeeper(ports: KeeperPorts, options: KeeperOptions): Keeper {
  return {
    ports,
    options,
    wake: bell(),
    news: bell(),
    sleepInterval: toMillis(defaults.sleepInterval),
    failInterval: toMillis(defaults.failInterval),
    memory: emptyMemory,
    plan: null,
    desired: null,
    local: null,
    view: null,
    viewTime: null,
    syncTime: null,
    claim: { kind: "open" },
    trouble: "",
    storeFailed: false,
    failing: false,
    failure: "",
    work: null,
    progress: "",
    published: "",
  }
}

/** The settings of this moment: a guardian that was lost is replaced, and the boot with it. */
export const settingsOf = ({ options, ports }: Keeper): Settings => ({
  ...options,
  boot: ports.postgres.boot,
})
