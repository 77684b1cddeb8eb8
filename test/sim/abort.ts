/**
 * AbortController and AbortSignal as plain objects, for the length of a run. The built-in ones
 * cross into native code for every listener, and agents make several in every round: it was a fifth
 * of the simulator's time.
 *
 * They must do what the standard says as far as agents can see it: listeners in the order in which
 * they came, each once, the reason kept, a signal that has aborted never un-aborted. What nobody in
 * here uses (`onabort`, `timeout`) is left out and fails loudly. They are in place only while
 * `withLightSignals` runs, which is synchronous: nothing else ever sees them.
 */
type Listener = () => void

class LightSignal {
  aborted = false
  reason: unknown = undefined
  /** Null: taken away while others came after it. */
  private listeners: (Listener | null)[] = []
  private holes = 0

  addEventListener(type: string, listener: Listener): void {
    if (type !== "abort") throw new Error(`no such event in the simulator: ${type}`)
    if (!this.aborted && !this.listeners.includes(listener)) this.listeners.push(listener)
  }

  removeEventListener(_type: string, listener: Listener): void {
    const { listeners } = this
    const at = listeners.lastIndexOf(listener)
    if (at < 0) return
    // The last is the usual one; others leave a hole, since a listener may take another away.
    listeners[at] = null
    this.holes++
    while (listeners.length > 0 && listeners[listeners.length - 1] === null) {
      listeners.pop()
      this.holes--
    }
    if (this.holes <= holesMax || this.aborted) return
    this.listeners = listeners.filter((other) => other !== null)
    this.holes = 0
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason
  }

  abort(reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason ?? unsaid
    for (const listener of this.listeners) listener?.()
    this.listeners = []
  }

  static abort(reason?: unknown): LightSignal {
    const signal = new LightSignal()
    signal.abort(reason)
    return signal
  }

  static any(signals: readonly LightSignal[]): LightSignal {
    const aborted = signals.find((signal) => signal.aborted)
    if (aborted !== undefined) return LightSignal.abort(aborted.reason)
    const result = new LightSignal()
    const abortings = signals.map((signal) => () => {
      result.abort(signal.reason)
      signals.forEach((other, i) => other.removeEventListener("abort", abortings[i] ?? nothing))
    })
    signals.forEach((signal, i) => signal.addEventListener("abort", abortings[i] ?? nothing))
    return result
  }
}

/** One for all: making it is dear, and nobody asks where it was made. */
const unsaid = new DOMException("The operation was aborted.", "AbortError")
const nothing: Listener = () => {}
const holesMax = 16

class LightController {
  readonly signal = new LightSignal()
  abort(reason?: unknown): void {
    this.signal.abort(reason)
  }
}

/** Runs `run`, which must not wait for anything, with the light ones in place. */
export function withLightSignals<T>(run: () => T): T {
  const { AbortController: controller, AbortSignal: signal } = globalThis
  Object.assign(globalThis, { AbortController: LightController, AbortSignal: LightSignal })
  try {
    return run()
  } finally {
    Object.assign(globalThis, { AbortController: controller, AbortSignal: signal })
  }
}
