/**
 * The specification as a Go component sees it: what is not set has the default of reference 2.1,
 * and what is not valid makes it do nothing. Durations are milliseconds from here on.
 */
import { decode } from "#model/codec.ts"
import { Spec, defaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import { marshal } from "./codec.ts"
import { type GoData, GoSpec } from "./documents.ts"

/** Filled with defaults. */
export type Filled = ReturnType<typeof filled>

const millis = (value: bigint | null, otherwise: bigint): number =>
  Number((value ?? otherwise) / 1_000_000n)

export const filled = (spec: GoSpec) => ({
  ...spec,
  sleep: millis(spec.sleepInterval, defaults.sleepInterval),
  requestTimeout: spec.requestTimeout ?? BigInt(defaults.requestTimeout),
  convergence: millis(spec.convergenceTimeout, defaults.convergenceTimeout),
  init: millis(spec.initTimeout, defaults.initTimeout),
  sync: millis(spec.syncTimeout, defaults.syncTimeout),
  ready: millis(spec.dbWaitReadyTimeout, defaults.dbWaitReadyTimeout),
  fail: millis(spec.failInterval, defaults.failInterval),
  removal: millis(spec.deadKeeperRemovalInterval, defaults.deadKeeperRemovalInterval),
  proxyCheck: millis(spec.proxyCheckInterval, defaults.proxyCheckInterval),
  proxyTimeout: millis(spec.proxyTimeout, defaults.proxyTimeout),
  maxStandbys: spec.maxStandbys ?? defaults.maxStandbys,
  maxStandbysPerSender: spec.maxStandbysPerSender ?? defaults.maxStandbysPerSender,
  maxStandbyLag: spec.maxStandbyLag ?? defaults.maxStandbyLag,
  synchronousReplication: spec.synchronousReplication ?? false,
  minSynchronousStandbys: spec.minSynchronousStandbys ?? defaults.minSynchronousStandbys,
  maxSynchronousStandbys: spec.maxSynchronousStandbys ?? defaults.maxSynchronousStandbys,
  additionalWalSenders: spec.additionalWalSenders ?? defaults.additionalWalSenders,
  usePgrewind: spec.usePgrewind ?? false,
  mergePgParameters: spec.mergePgParameters ?? true,
  role: spec.role ?? "master",
  automaticPgRestart: spec.automaticPgRestart ?? false,
})

/** The rule that the stored specification breaks; null when it is valid. */
export const invalid = (data: GoData): string | null =>
  validate(decode(Spec, marshal(GoSpec, data.cluster.spec)))
