/**
 * Rules across the fields of a specification, in Go's order and with Go's texts (reference 2.2):
 * the first that fails is the answer. Every component applies them on every read, so a document
 * that breaks one is not acted upon.
 */
import { goQuote } from "#base/text.ts"
import type { Spec } from "./spec.ts"
import { withDefaults } from "./spec.ts"
import type { FullSpec } from "./spec.ts"

const durations = [
  "sleepInterval",
  "requestTimeout",
  "convergenceTimeout",
  "initTimeout",
  "syncTimeout",
  "dbWaitReadyTimeout",
  "failInterval",
  "deadKeeperRemovalInterval",
  "proxyCheckInterval",
  "proxyTimeout",
] as const

/** The broken rule as text, or null when the specification is fine. */
export function validate(spec: Spec): string | null {
  const known = verdicts.get(spec)
  if (known !== undefined) return known
  const full = withDefaults(spec)
  const verdict =
    timing(full) ?? limits(full) ?? initialisation(full) ?? slots(full) ?? modes(full) ?? ours(full)
  verdicts.set(spec, verdict)
  return verdict
}
/** A specification never changes once it was read, and everybody asks on every read. */
const verdicts = new WeakMap<Spec, string | null>()

function timing(spec: FullSpec): string | null {
  for (const key of durations) if (spec[key] < 0n) return `${key} must be positive`
  if (spec.proxyCheckInterval >= spec.proxyTimeout)
    return "proxyCheckInterval should be less than proxyTimeout"
  return null
}

function limits(spec: FullSpec): string | null {
  for (const key of ["maxStandbys", "maxStandbysPerSender", "maxSynchronousStandbys"] as const)
    if (spec[key] < 1) return `${key} must be at least 1`
  if (spec.maxSynchronousStandbys < spec.minSynchronousStandbys)
    return "maxSynchronousStandbys must be greater or equal to minSynchronousStandbys"
  return null
}

const initialisation = (spec: FullSpec): string | null =>
  spec.initMode === undefined ? "initMode undefined" : null

function slots(spec: FullSpec): string | null {
  for (const name of spec.additionalMasterReplicationSlots ?? []) {
    if (!/^[a-z0-9_]+$/.test(name)) return `wrong replication slot name: ${goQuote(name)}`
    if (name.startsWith("stolon_")) return `replication slot name is reserved: ${goQuote(name)}`
  }
  if ((spec.pgHBA ?? []).some((rule) => rule.includes("\n")))
    return "pgHBA entries cannot contain newline characters"
  return null
}

function modes(spec: FullSpec): string | null {
  return initMode(spec) ?? access(spec) ?? role(spec)
}

function initMode(spec: FullSpec): string | null {
  switch (spec.initMode) {
    case "new":
      return spec.role === "standby" ? `invalid cluster role standby when initMode is "new"` : null
    case "existing":
      if (spec.existingConfig === undefined)
        return `existingConfig undefined. Required when initMode is "existing"`
      return spec.existingConfig.keeperUID === "" ? "existingConfig.keeperUID undefined" : null
    case "pitr":
      if (spec.pitrConfig === undefined)
        return `pitrConfig undefined. Required when initMode is "pitr"`
      if (spec.pitrConfig.dataRestoreCommand === "")
        return "pitrConfig.DataRestoreCommand undefined"
      return spec.pitrConfig.recoveryTargetSettings !== undefined && spec.role === "standby"
        ? "cannot define pitrConfig.RecoveryTargetSettings when required cluster role is standby"
        : null
    default:
      return `unknown initMode: ${goQuote(spec.initMode ?? "")}`
  }
}

const access = (spec: FullSpec): string | null =>
  ["all", "strict"].includes(spec.defaultSUReplAccessMode)
    ? null
    : `unknown defaultSUReplAccessMode: ${goQuote(spec.defaultSUReplAccessMode)}`

function role(spec: FullSpec): string | null {
  if (spec.role === "master") return null
  if (spec.role !== "standby") return `unknown role: ${goQuote(spec.initMode ?? "")}` // sic, Go names the init mode
  return spec.standbyConfig === undefined
    ? `standbyConfig undefined. Required when cluster role is "standby"`
    : null
}

/** Rules on the fields that Go does not know. */
function ours(spec: FullSpec): string | null {
  if (
    spec.failureDetection !== undefined &&
    !["silence", "evidence"].includes(spec.failureDetection)
  )
    return `unknown failureDetection: ${goQuote(spec.failureDetection)}`
  if (spec.fencingLease !== undefined && spec.fencingLease <= 0n)
    return "fencingLease must be positive"
  return zeroBytes(spec)
}

/**
 * No file of PostgreSQL can hold a zero byte, and a file with one keeps it from starting. Of
 * parameters the keeper leaves out the one that has it.
 */
function zeroBytes({ pgHBA, standbyConfig, pitrConfig }: FullSpec): string | null {
  const holds = (value: unknown): boolean =>
    typeof value === "string"
      ? value.includes("\0")
      : typeof value === "object" && value !== null && Object.values(value).some(holds)
  const found = Object.entries({ pgHBA, standbyConfig, pitrConfig }).find(([, value]) =>
    holds(value),
  )
  return found === undefined ? null : `${found[0]} cannot contain zero bytes`
}
