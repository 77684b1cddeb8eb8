/**
 * SIGINT and SIGTERM as one AbortSignal. The first asks for a graceful end. A second one means that
 * the operator has lost patience: `hurry` is told, so that children are stopped harder, and the
 * process ends a moment later whatever still waits (Go stolon ignored it, D-17).
 */
export interface Shutdown extends Disposable {
  /** Aborts with the first signal. */
  readonly signal: AbortSignal
  /** Aborts with the second. */
  readonly hurry: AbortSignal
}

const codes: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 }

const received = "received "
/** Whether it is only that: a signal that comes before the loops run is no failure of the start. */
export const isShutdown = (error: unknown): boolean =>
  error instanceof DOMException && error.message.startsWith(`${received}SIG`)

/** How long the second signal leaves for stopping children. */
const hurryMs = 2_000

/** Tools send them to Go programs, which take no notice; our runtime would end (reference 8.4). */
const idle: readonly NodeJS.Signals[] = ["SIGUSR1", "SIGUSR2"]
const nothing = (): void => {}

/** Listens until disposed. `exit` ends the process; tests put something else there. */
export function onShutdown(exit: (code: number) => void = (code) => process.exit(code)): Shutdown {
  const first = new AbortController()
  const second = new AbortController()
  let timer: ReturnType<typeof setTimeout> | null = null
  const take = (signal: NodeJS.Signals): void => {
    if (!first.signal.aborted) {
      first.abort(new DOMException(`${received}${signal}`, "AbortError"))
    } else if (!second.signal.aborted) {
      timer = setTimeout(() => exit(codes[signal] ?? 1), hurryMs)
      second.abort(new DOMException(`${received}${signal} again`, "AbortError"))
    } else exit(codes[signal] ?? 1)
  }
  process.on("SIGINT", take)
  process.on("SIGTERM", take)
  for (const signal of idle) process.on(signal, nothing)
  return {
    signal: first.signal,
    hurry: second.signal,
    [Symbol.dispose]: () => {
      process.off("SIGINT", take)
      process.off("SIGTERM", take)
      for (const signal of idle) process.off(signal, nothing)
      if (timer !== null) clearTimeout(timer)
    },
  }
}
