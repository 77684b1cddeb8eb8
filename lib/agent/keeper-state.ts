/**
 * What the keeper's loops share. One object, because they look at the same machine; each field says
 * who writes it.
 */
import { type Millis, type Time, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import type { Claim } from "#keeper/claim.ts"
import type { Desired } from "#keeper/desire.ts"
import { type Fence, type Lease, type Rule, firstRule } from "#keeper/lease.ts"
import { type Memory, emptyMemory } from "#keeper/memory.ts"
import type { Plan } from "#keeper/plan.ts"
import type { Settings } from "#keeper/settings.ts"
import type { ClusterData, Electable } from "#model/cluster.ts"
import type { Promised } from "#model/info.ts"
import type { Local } from "#model/local.ts"
import { defaults } from "#model/spec.ts"
import type { Step } from "#model/step.ts"
import type { Chance, Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { PeerEndpoint, Peers } from "#port/peer.ts"
import type { Postgres } from "#port/postgres.ts"
import type { Store } from "#port/store.ts"
import { type Bell, bell } from "./loop.ts"

export interface KeeperPorts {
  readonly store: Store
  readonly peers: Peers
  readonly endpoint: PeerEndpoint
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

/** One publish at a time, so that an older info never replaces a newer one. */
export interface Posting {
  giveUp(): void
  readonly over: Promise<void>
}

/** What is known for promises. Written by `keeper-promise.ts` and `keeper-vows.ts`. */
export interface Promises {
  /** The newest view that was read, by whomever, and when it was. */
  newest: { readonly data: ClusterData | null; readonly notedAt: Millis } | null
  /** The start of the last renewal that succeeded. */
  renewed: Millis | null
  /** When promises were last asked for. */
  asked: Millis | null
  /** What was said last about asking, so that an outage of hours fills no log. */
  said: string
  /** What the file said has been taken up. */
  recalled: boolean
  /** A question that is being answered; the next waits. */
  answering: Promise<unknown>
  /** A look whether the store is reached. */
  probing: Promise<boolean> | null
  /** A promise was made. */
  readonly made: Bell
  /** A lease was renewed: when to ask has changed. */
  readonly due: Bell
}

export interface Keeper {
  readonly ports: KeeperPorts
  readonly options: KeeperOptions
  /** Wakes the tick. */
  readonly wake: Bell
  /** Wakes the publishing. */
  readonly news: Bell
  /** Wakes the renewals. */
  readonly renewal: Bell
  /** Wakes whoever talks to the guardian. */
  readonly grip: Bell
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
  // written by the loop that renews (`keeper-lease.ts`)
  rule: Rule
  /** The last lease; it may have run out. */
  lease: Lease | null
  /** What was said of it last. */
  leaseSaid: "nothing" | "granted" | "unconfirmed" | "lapsed"
  /** PostgreSQL takes writes, or is about to: from before the step on that makes it. */
  writes: boolean
  /** A promotion was asked for: until PostgreSQL is seen to have ended it may come. */
  promoting: boolean
  /** Until when the guardian has taken a lease for a hold; null: it holds without. */
  bound: Millis | null
  /** Since when renewals find no cluster data at all. */
  absent: Millis | null
  /** The start of the last linearizable read that was answered. */
  heard: Millis | null
  /** The start of the read by which `rule` was last settled. */
  ruled: Millis
  /** The word to the guardian that is under way. */
  telling: Promise<void> | null
  // written by the promises (`keeper-promise.ts`)
  /** The promise in force (O2): this keeper promotes nobody before `until`. */
  promised: (Promised & { readonly until: Millis }) | null
  /** The set that a lease here would be prolonged by (O3). */
  electable: Electable | null
  readonly promises: Promises
  /** Of the endpoint for peers; empty: none. */
  peerAddress: string
  // written at the end
  ending: boolean
  // written by the work itself
  work: Work | null
  progress: string
  // written by the publishing
  published: string
  /** The publish under way. */
  posting: Posting | null
  /** When the last publish was over, however it ended. */
  postedAt: Millis
  /** The last look, whoever looked. */
  seen: { readonly local: Local; readonly at: Millis } | null
}

const noPromises = (): Promises => ({
  newest: null,
  renewed: null,
  asked: null,
  said: "",
  recalled: false,
  answering: Promise.resolve(),
  probing: null,
  made: bell(),
  due: bell(),
})

export function newKeeper(ports: KeeperPorts, options: KeeperOptions): Keeper {
  return {
    ports,
    options,
    wake: bell(),
    news: bell(),
    renewal: bell(),
    grip: bell(),
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
    rule: firstRule(ports.postgres.leased !== null),
    lease: null,
    leaseSaid: "nothing",
    // of what was found nothing is known before the first look
    writes: ports.postgres.adopted,
    promoting: ports.postgres.leased !== null,
    bound: ports.postgres.leased,
    absent: null,
    heard: null,
    ruled: millis(-Infinity),
    telling: null,
    promised: null,
    electable: null,
    promises: noPromises(),
    peerAddress: ports.endpoint.address,
    ending: false,
    work: null,
    progress: "",
    published: "",
    posting: null,
    postedAt: millis(-Infinity),
    seen: null,
  }
}

/** The settings of this moment: a guardian that was lost is replaced, and the boot with it. */
export const settingsOf = ({ options, ports }: Keeper): Settings => ({
  ...options,
  boot: ports.postgres.boot,
})

/** What the plan has to keep to now. */
export const fenceOf = ({ rule, lease, promised }: Keeper): Fence => ({
  on: rule.used.on,
  lease,
  promised: promised?.until ?? null,
})
