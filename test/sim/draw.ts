/**
 * From a seed to a run: how many machines, which specification, which faults and wishes and when.
 * Everything is drawn before the world starts, from a generator of its own, so a change in the
 * agents does not change what is done to them.
 */
import { duration } from "#base/duration.ts"
import { type Random, generator } from "#base/random.ts"
import { type Spec, emptySpec } from "#model/spec.ts"
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
  readonly writers: { readonly direct: number; readonly proxied: number; readonly pause: number }
  /** Virtual time until everything is healed. */
  readonly length: number
}

/** What an operator does. Rarer than faults, but each often enough. */
export const wishes = [
  "failover",
  "failoverTo",
  "failKeeper",
  "removeKeeper",
  "syncOn",
  "syncOff",
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

const minute = 60_000

/** `focus`: only these deeds, and many; for a search that knows what it is after. */
export function draw(seed: number, focus: readonly string[] = []): Plan {
  const random = generator(seed ^ 0x5eed)
  const chance = (p: number): boolean => random.next() < p
  // Short intervals make long runs: fewer of them, and smaller ones.
  const quick = chance(0.025)
  const keepers = [2, 2, 3, 3, 2, 3, 4][random.below(quick ? 4 : 7)] ?? 2
  const sync = chance(0.55)
  // Trouble while the first primary is made; most runs leave it in peace, there is little to lose
  // yet.
  const early = focus.length === 0 && chance(0.06)
  const outside = focus.length === 0 && !early && chance(0.06)
  const drawn = drawSpec(random, { sync, keepers, quick, early })
  const shape: Shape = {
    seed,
    keepers,
    sentinels: [1, 2, 1, 2, 3][random.below(quick ? 2 : 5)] ?? 1,
    proxies: 1 + random.below(2),
    together: chance(0.5),
    spec: outside ? { ...drawn, ...(chance(0.6) ? standbyCluster : restored) } : drawn,
    honest: chance(0.05),
    oneAccount: chance(0.1),
    news: quick || chance(0.05) ? 8 : 10_000,
    drift: chance(0.5) ? 0.045 : 0,
    outside,
  }
  const length = 10 * minute + random.below(10_000)
  return {
    shape,
    deeds: [
      ...(early ? [drawEarly(random)] : []),
      ...drawDeeds(random, length, focus),
      ...(outside && chance(0.6) ? [{ at: length / 2, what: "promote", lasts: 0 }] : []),
    ].toSorted((a, b) => a.at - b.at),
    writers: {
      direct: chance(0.3) ? 1 : 0,
      proxied: 1 + random.below(2),
      pause: 800 + random.below(2_400),
    },
    length,
  }
}

const seconds = (n: number): ReturnType<typeof duration> => duration(n * 1_000)

/** The cost of a run grows with the number of rounds in it, so most runs are leisurely. */
const timings: Readonly<Record<"quick" | "brisk" | "default" | "leisurely", Partial<Spec>>> = {
  quick: {
    sleepInterval: seconds(1),
    failInterval: seconds(3),
    proxyCheckInterval: seconds(1),
    proxyTimeout: seconds(3),
    requestTimeout: seconds(2),
  },
  brisk: { sleepInterval: seconds(4), failInterval: seconds(12), proxyTimeout: seconds(9) },
  default: {},
  leisurely: {
    sleepInterval: seconds(10),
    failInterval: seconds(25),
    proxyCheckInterval: seconds(8),
    proxyTimeout: seconds(20),
  },
}
const slower = ["brisk", "default", ...Array<"leisurely">(5).fill("leisurely")] as const

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
  readonly quick: boolean
  readonly early: boolean
}

function drawSpec(random: Random, { sync, keepers, quick, early }: Kind): Spec {
  const chance = (p: number): boolean => random.next() < p
  const max = 1 + random.below(Math.max(1, keepers - 1))
  const timing = quick ? timings.quick : timings[slower[random.below(slower.length)] ?? "default"]
  return {
    ...emptySpec,
    ...timing,
    initMode: "new",
    synchronousReplication: sync,
    minSynchronousStandbys: sync && chance(0.3) ? 0 : 1,
    maxSynchronousStandbys: max,
    usePgrewind: chance(0.6),
    mergePgParameters: chance(0.5),
    automaticPgRestart: chance(0.3),
    ...(chance(0.5) ? { failureDetection: "evidence" } : {}),
    ...(chance(0.2) ? { newConfig: { locale: "", encoding: "", dataChecksums: true } } : {}),
    ...(chance(0.2) ? { defaultSUReplAccessMode: "strict" } : {}),
    ...(chance(0.2) ? { maxStandbysPerSender: 1, deadKeeperRemovalInterval: seconds(25) } : {}),
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

function drawDeeds(random: Random, length: number, focus: readonly string[]): readonly Deed[] {
  const names =
    focus.length > 0 ? focus : Object.keys(faults).filter((name) => name !== duringSetup)
  const count = (focus.length > 0 ? 8 : 3) + random.below(5)
  const deeds: Deed[] = []
  const at = (): number => minute + random.below(length - 2 * minute)
  const span = (): number =>
    random.next() < 0.6 ? 1_000 + random.below(20_000) : random.below(90_000)
  for (let i = 0; i < count; i++) {
    const what = names[random.below(names.length)] ?? ""
    const first = { at: at(), what, lasts: span() }
    deeds.push(first)
    // Trouble comes in clusters: every third fault has company.
    if (random.next() > 0.33) continue
    const other = names[random.below(names.length)] ?? ""
    deeds.push({ at: first.at + random.below(15_000), what: other, lasts: span() })
  }
  const wanted = random.below(3)
  for (let i = 0; i < wanted; i++) {
    const what = wishes[random.below(wishes.length)] ?? ""
    // A new cluster over an old one only every now and then: it ends most of what is checked.
    const wish = { at: at(), what, lasts: 0 }
    if (what !== "init" || random.next() < 0.3) deeds.push(wish)
    // A pause in which nothing happens shows nothing.
    if (what !== "pause") continue
    deeds.push({ at: wish.at + random.below(8_000), what: "killMachine", lasts: 35_000 })
  }
  return deeds.toSorted((a, b) => a.at - b.at)
}
