/**
 * From a seed to a run: how many machines, which specification, which faults and wishes and when.
 * Everything is drawn before the world starts, from a generator of its own, so a change in the
 * agents does not change what is done to them.
 */
import { duration } from "#base/duration.ts"
import { type Random, generator } from "#base/random.ts"
import { type Spec, emptySpec } from "#model/spec.ts"
import type { Only } from "./checkers/undisturbed.ts"
import type { WriterSetting } from "./clients.ts"
import { duringSetup, faults } from "./faults.ts"
import { outsideAddress, outsideConninfo } from "./outside.ts"
import type { Shape } from "./sim.ts"

/** One thing that will be done to the cluster. */
export interface Deed {
  readonly at: number
  /** A fault's name, or an operator's wish. */
  readonly what: string
  /** Until it is healed. */
  readonly lasts: number
}

export interface Plan {
  readonly shape: Shape
  readonly deeds: readonly Deed[]
  readonly writers: Pick<WriterSetting, "direct" | "proxied" | "pause" | "patience">
  /** Nothing else happens in this run, so more can be asked of it. */
  readonly only: Only | null
  /** Its failInterval, which everything else in a run is measured in. */
  readonly unit: number
  /** Virtual time until everything is healed. */
  readonly length: number
}

/** Either way; two clocks then differ by 4.9 %, and the protocol allows 5. */
const drift = 0.024

/** What can happen in a run depends on how often somebody can fail in it, not on minutes. */
const lengthMin = 25

/** What an operator does. Rarer than faults, but each often enough. */
export const wishes = [
  "failover",
  "failoverTo",
  "switchover",
  "switchoverTo",
  "failKeeper",
  "removeKeeper",
  "syncOn",
  "syncOff",
  "fencing",
  "fencingLease",
  "silence",
  "evidence",
  "toggleRewind",
  "parameters",
  "limits",
  "syncLimits",
  "slots",
  "promote",
  "pause",
  "restart",
  "reload",
  "reclone",
  "init",
] as const
export type Wish = (typeof wishes)[number]

/** `focus`: only these deeds, and many; for a search that knows what it is after. */
export function draw(seed: number, focus: readonly string[] = []): Plan {
  const random = generator(seed ^ 0x5eed)
  const chance = (p: number): boolean => random.next() < p
  const isLong = chance(0.05)
  const timings = isLong ? long : short
  const chosen = timings[random.below(timings.length)] ?? short[0]
  const unit = 1_000 * chosen.fail
  const keepers = [2, 2, 3, 2, 3, 2, 3, 4][random.below(8)] ?? 2
  const sync = chance(0.55)
  // Trouble while the first primary is made; most runs leave it in peace, there is little to lose
  // yet.
  const early = focus.length === 0 && chance(0.06)
  const outside = focus.length === 0 && !early && chance(0.06)
  const only = focus.length === 0 && !early && !outside ? drawOnly(random.next()) : null
  const drawn = drawSpec(random, { sync, keepers, timing: chosen, early })
  const shape: Shape = {
    seed,
    keepers,
    sentinels: [1, 2, 1, 1, 2, 1, 3][random.below(7)] ?? 1,
    proxies: chance(0.3) ? 2 : 1,
    together: chance(0.5),
    spec:
      only !== null
        ? { ...drawn, selfFencing: true }
        : outside
          ? { ...drawn, ...(chance(0.6) ? standbyCluster : restored) }
          : drawn,
    honest: chance(0.03),
    oneAccount: chance(0.1),
    news: chance(0.1) ? 8 : 2_000 * chosen.sleep,
    signs: chance(0.9) || only !== null,
    drift: chance(0.5) ? drift : 0,
    outside,
  }
  const length = unit * (lengthMin + random.below(isLong ? 2 : 5))
  return {
    shape,
    deeds: [
      ...(early ? [drawEarly(random)] : []),
      ...(only === null
        ? drawDeeds(random, { length, unit }, focus)
        : drawOne(random, { length, unit }, only)),
      ...(outside && chance(0.6) ? [{ at: length / 2, what: "promote", lasts: 0 }] : []),
    ].toSorted((a, b) => a.at - b.at),
    writers: {
      direct: chance(0.3) ? 1 : 0,
      proxied: 1 + random.below(2),
      pause: unit * (0.15 + 0.35 * random.next()),
      // S6 is about what proxies do; of two nodes one has to come back before commits go on
      patience: only === "switchovers" ? 60_000 : 4_000,
    },
    only,
    unit,
    length,
  }
}

const drawOnly = (chance: number): Only | null =>
  chance < 0.03 ? "outages" : chance < 0.06 ? "switchovers" : null

/** The intervals of a cluster, all of them in seconds. */
interface Timing {
  readonly sleep: number
  readonly fail: number
  readonly check: number
  readonly timeout: number
  readonly request: number
}
const timing = (
  sleep: number,
  fail: number,
  check: number,
  timeout: number,
  request: number,
): Timing => ({ sleep, fail, check, timeout, request })

/**
 * What `stolon ctl init` recommends, and its neighbours. A run costs what its rounds cost: those
 * with two rounds to a failInterval, the fewest that Go's rules allow, are the common ones.
 */
const short = [
  timing(1, 3, 1, 3, 2),
  timing(1.5, 3, 1.5, 3, 2),
  timing(1.5, 3, 1.5, 4, 2),
  timing(2, 4, 2, 3, 2),
  timing(2.5, 5, 2, 5, 2),
  timing(3, 6, 2.5, 6, 3),
] as const
/** Go's defaults, and its neighbours. They show little that the short ones do not, for more. */
const long = [timing(5, 20, 5, 15, 10), timing(4, 12, 5, 9, 10), timing(10, 25, 8, 20, 10)] as const

const seconds = (n: number): ReturnType<typeof duration> => duration(n * 1_000)
const intervals = ({ sleep, fail, check, timeout, request }: Timing): Partial<Spec> => ({
  sleepInterval: seconds(sleep),
  failInterval: seconds(fail),
  proxyCheckInterval: seconds(check),
  proxyTimeout: seconds(timeout),
  requestTimeout: seconds(request),
})

/** A cluster that begins with a backup of the server outside, and stays apart from it … */
export const restored: Partial<Spec> = {
  initMode: "pitr",
  pitrConfig: { dataRestoreCommand: outsideAddress },
}
/** … or follows it. */
export const standbyCluster: Partial<Spec> = {
  ...restored,
  role: "standby",
  standbyConfig: {
    standbySettings: {
      primaryConninfo: outsideConninfo,
      primarySlotName: "",
      recoveryMinApplyDelay: "",
    },
  },
}

interface Kind {
  readonly sync: boolean
  readonly keepers: number
  readonly timing: Timing
  readonly early: boolean
}

function drawSpec(random: Random, { sync, keepers, timing, early }: Kind): Spec {
  const chance = (p: number): boolean => random.next() < p
  const max = 1 + random.below(Math.max(1, keepers - 1))
  return {
    ...emptySpec,
    ...intervals(timing),
    initMode: "new",
    synchronousReplication: sync,
    minSynchronousStandbys: sync && chance(0.3) ? 0 : 1,
    maxSynchronousStandbys: max,
    usePgrewind: chance(0.6),
    mergePgParameters: chance(0.5),
    automaticPgRestart: chance(0.3),
    ...(chance(0.5) ? { failureDetection: "evidence" } : {}),
    // a lease as short as an operator may set it is renewed without end
    ...(chance(0.8) ? { selfFencing: true } : {}),
    ...(chance(0.15) ? { fencingLease: seconds(timing.fail * (0.6 + 0.6 * random.next())) } : {}),
    ...(chance(0.2) ? { newConfig: { locale: "", encoding: "", dataChecksums: true } } : {}),
    ...(chance(0.2) ? { defaultSUReplAccessMode: "strict" } : {}),
    ...(chance(0.2)
      ? { maxStandbysPerSender: 1, deadKeeperRemovalInterval: seconds(1.5 * timing.fail) }
      : {}),
    ...(early ? { initTimeout: seconds(10) } : {}),
  }
}

const drawEarly = (random: Random): Deed => {
  const lasts = 10_000 + random.below(50_000)
  if (random.next() < 0.5) return { at: 0, what: duringSetup, lasts }
  return {
    at: 1_000 + random.below(9_000),
    what: random.next() < 0.5 ? "killMachine" : "cutHost",
    lasts,
  }
}

function drawOne(
  random: Random,
  { length, unit }: Pick<Plan, "length" | "unit">,
  only: Only,
): readonly Deed[] {
  const begin = 8 * unit // until then the cluster becomes whole
  const part = (length - begin) / 4
  return [0, 1, 2, 3].map((i) => ({
    at: begin + part * (i + 0.5 * random.next()),
    what: only === "outages" ? "storeGone" : "switchover",
    lasts: Math.min(5_000 + random.below(55_000), 0.9 * part),
  }))
}

function drawDeeds(
  random: Random,
  { length, unit }: Pick<Plan, "length" | "unit">,
  focus: readonly string[],
): readonly Deed[] {
  const names =
    focus.length > 0 ? focus : Object.keys(faults).filter((name) => name !== duringSetup)
  const count = (focus.length > 0 ? 8 : 3) + random.below(5)
  const deeds: Deed[] = []
  // There is nothing to lose before there is a standby.
  const begin = Math.max(setup, 3 * unit)
  const at = (): number => begin + random.below(length - begin - 2 * unit)
  const span = (): number =>
    random.next() < 0.6 ? unit * (0.3 + 5 * random.next()) : unit * 12 * random.next()
  for (let i = 0; i < count; i++) {
    const what = names[random.below(names.length)] ?? ""
    const first = { at: at(), what, lasts: span() }
    deeds.push(first)
    // Trouble comes in clusters: every third fault has company.
    if (random.next() > 0.33) continue
    const other = names[random.below(names.length)] ?? ""
    deeds.push({ at: first.at + random.below(3 * unit), what: other, lasts: span() })
  }
  const wanted = random.below(3)
  for (let i = 0; i < wanted; i++) {
    const what = wishes[random.below(wishes.length)] ?? ""
    // A new cluster over an old one only every now and then: it ends most of what is checked.
    const wish = { at: at(), what, lasts: unit * (2 + 3 * random.next()) }
    if (what !== "init" || random.next() < 0.3) deeds.push(wish)
    // A pause in which nothing happens shows nothing.
    if (what !== "pause") continue
    deeds.push({ at: wish.at + random.below(unit), what: "killMachine", lasts: 2 * unit })
  }
  return deeds.toSorted((a, b) => a.at - b.at)
}
/** Virtual time in which a first primary and its standby are made. */
const setup = 15_000
