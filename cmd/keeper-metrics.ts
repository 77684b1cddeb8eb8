/**
 * The keeper's metrics, with Go stolon's names (reference 8.1), and what its health check says.
 */
import type { Millis } from "#base/brand.ts"
import type { KeeperState, RoleName } from "#agent/keeper-state.ts"
import { defaults } from "#model/spec.ts"
import { toMillis } from "#base/duration.ts"
import type { Page } from "#system/http.ts"
import { type Metric, gauge, identifier } from "./metrics.ts"

const roles: readonly RoleName[] = ["undefined", "master", "standby"]

/** Before the first view every role is 0, as with Go. */
const byRole = (name: string, help: string, role: RoleName | null): Metric => ({
  name,
  type: "gauge",
  help,
  samples: roles.map((one) => ({ labels: { role: one }, value: one === role ? 1 : 0 })),
})

const seconds = (time: string | null | undefined): number =>
  time === null || time === undefined ? 0 : Date.parse(time) / 1000
const flag = (on: boolean | undefined): number => (on === true ? 1 : 0)

export function keeperMetrics(
  clusterName: string,
  state: KeeperState | null,
  shutdownAt: number,
  events: Metric,
): readonly Metric[] {
  const seen = state?.lastView === null ? null : state
  const sleepInterval = state?.sleepInterval ?? toMillis(defaults.sleepInterval)
  return [
    identifier(clusterName, "keeper"),
    gauge(
      "stolon_keeper_clusterdata_last_valid_update_seconds",
      "Last time a valid cluster data was read, unix time",
      seconds(state?.lastView),
    ),
    byRole(
      "stolon_keeper_target_role",
      "The role that the keeper was asked for",
      seen?.targetRole ?? null,
    ),
    byRole(
      "stolon_keeper_local_role",
      "The role that PostgreSQL's files show",
      seen?.localRole ?? null,
    ),
    gauge(
      "stolon_keeper_needs_reload",
      "1 while PostgreSQL has to reload its configuration",
      flag(state?.needsReload),
    ),
    gauge(
      "stolon_keeper_needs_restart",
      "1 while a parameter waits for a restart of PostgreSQL",
      flag(state?.needsRestart),
    ),
    gauge(
      "stolon_keeper_last_sync_success_seconds",
      "Last time everything asked for was done, unix time",
      seconds(state?.lastSync),
    ),
    gauge(
      "stolon_keeper_sleep_interval",
      "Seconds between two rounds",
      Math.floor(sleepInterval / 1000),
    ),
    gauge(
      "stolon_keeper_shutdown_seconds",
      "When the keeper was told to end, unix time; 0 before",
      shutdownAt,
    ),
    events,
  ]
}

/**
 * A loop that has not come round for this long hangs; starting the keeper anew adopts PostgreSQL as
 * it is.
 */
const stuckAfter = 60_000

export function loopIsStuck(
  state: KeeperState | null,
  heard: Millis,
  now: Millis,
): readonly string[] {
  const bound = stuckAfter + 3 * (state?.sleepInterval ?? 0)
  return now - heard > bound
    ? [`the keeper's loop has not come round for ${Math.round((now - heard) / 1000)} s`]
    : []
}

/**
 * Why an update or whoever drains nodes should not go on to the next keeper yet; empty: its
 * PostgreSQL is as the cluster wants it, or the cluster wants none here. Ends nothing, ever: a copy
 * may take hours.
 */
export function notReady(state: KeeperState | null, nowMs: number): readonly string[] {
  const role = state?.targetRole ?? null
  if (state === null || role === null) return ["the keeper has not read the cluster data yet"]
  if (role === "undefined") return []
  if (state.lastSync === null) return [`PostgreSQL is not yet the ${role} that it shall be`]
  const age = nowMs - Date.parse(state.lastSync)
  return age > unsettledAfter + 3 * state.sleepInterval
    ? [`PostgreSQL has not been as the cluster wants it for ${Math.round(age / 1000)} s`]
    : []
}
/** Configuration is written and loaded again in less. */
const unsettledAfter = 5_000

/** What the keeper shows beside metrics and `/healthz`. */
export const keeperPages = (
  look: () => KeeperState | null,
  wallMs: () => number,
): Readonly<Record<"/readyz", () => Page>> => ({
  "/readyz": () => ({ kind: "check", reasons: notReady(look(), wallMs()) }),
})
