/**
 * What the long-running commands share: their log, their refusals in the words of the dialect,
 * their endpoint for metrics and health. Decides nothing; each command wires its own parts.
 */
import type { Invocation } from "#cli/invocation.ts"
import { type LogLevel, logSettings } from "#cli/common.ts"
import { fatalLine } from "#cli/cobra.ts"
import { realClock } from "#system/clock.ts"
import { serveHttp } from "#system/http.ts"
import { type ComponentLog, openLog } from "#system/log.ts"
import { warn } from "./front.ts"
import { type Metric, renderMetrics } from "./metrics.ts"

interface LogValues {
  readonly logLevel: LogLevel
  readonly logFormat: "text" | "json"
  readonly logColor: boolean
  readonly debug: boolean
}

export function serviceLog(
  component: string,
  values: LogValues,
  changed: ReadonlyMap<string, string>,
): ComponentLog {
  const { level, format, color } = logSettings(values, changed, process.stderr.isTTY)
  return openLog({ component, level, format, colour: color })
}

/** A command that cannot start says why and ends; Go's programs say it as a FATAL line. */
export async function refuse(invocation: Invocation, message: string): Promise<number> {
  const go = invocation.dialect === "go"
  await warn(go ? fatalLine(realClock.now().wall, message) : `${invocation.program}: ${message}\n`)
  return 1
}

/**
 * Serves `/metrics` and `/healthz` while the stack lives; nothing without an address. Throws when
 * it cannot be listened on.
 */
export function serveMetrics(
  stack: AsyncDisposableStack,
  address: string,
  metrics: () => readonly Metric[],
  unhealthy: () => readonly string[],
): void {
  if (address === "") return
  stack.use(serveHttp({ address, metrics: () => renderMetrics(metrics()), unhealthy }))
}

export const text = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
