/**
 * What the long-running commands share: their log, their refusals in the words of the dialect,
 * their endpoint for metrics and health. Decides nothing; each command wires its own parts.
 */
import type { Dialect } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type LogLevel, logSettings } from "#cli/common.ts"
import { fatalLine } from "#cli/cobra.ts"
import { goPlace } from "#cli/go-places.ts"
import { StoreError } from "#port/store.ts"
import { type HttpOptions, serveHttp } from "#system/http.ts"
import { type ComponentLog, openLog } from "#system/log.ts"
import { wallTime, warn } from "./front.ts"
import { type Metric, renderMetrics } from "./metrics.ts"

interface LogValues {
  readonly logLevel: LogLevel
  readonly logFormat: "text" | "json"
  readonly logColor: boolean
  readonly debug: boolean
}

/** In the go dialect the lines of the start name the place that Go's lines name. */
export function serviceLog(
  component: string,
  values: LogValues,
  changed: ReadonlyMap<string, string>,
  invocation: Invocation,
): ComponentLog {
  const { level, format, color } = logSettings(values, changed, process.stderr.isTTY)
  const { dialect, program } = invocation
  const place = (message: string): string => goPlace(program, message)
  return openLog({ component, level, format, colour: color, ...(dialect === "go" && { place }) })
}

/** A command that cannot start says why and ends; Go's programs say it as a FATAL line. */
export async function refuse(invocation: Invocation, message: string): Promise<number> {
  const go = invocation.dialect === "go"
  const { program } = invocation
  await warn(go ? fatalLine(wallTime(), program, message) : `${program}: ${message}\n`)
  return 1
}

/** Why a component could not begin; Go says which part of it could not be made. */
export function beginTrouble(invocation: Invocation, part: string, error: unknown): string {
  const invalid = error instanceof StoreError && error.code === "invalid"
  return invalid && invocation.dialect === "go"
    ? `cannot create ${part}: cannot create store: ${error.message}`
    : text(error)
}

/**
 * Serves `/metrics`, `/healthz` and `pages` while the stack lives; nothing without an address.
 * Throws when it cannot be listened on.
 */
export function serveMetrics(
  stack: AsyncDisposableStack,
  address: string,
  metrics: () => readonly Metric[],
  unhealthy: () => readonly string[],
  pages: HttpOptions["pages"] = {},
): void {
  if (address === "") return
  stack.use(serveHttp({ address, metrics: () => renderMetrics(metrics()), unhealthy, pages }))
}

/**
 * The same for keeper and sentinel: false when a Go name has to end, gracefully and with success,
 * because the address cannot be had (reference 8.1).
 */
export function metricsServed(log: ComponentLog, dialect: Dialect, serve: () => void): boolean {
  try {
    serve()
    return true
  } catch (error) {
    if (dialect === "stolon") throw error
    log.line("error", "metrics http server error", { error: text(error) })
    return false
  }
}

export const text = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
