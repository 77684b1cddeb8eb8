/** The simulator's light signals do what the built-in ones do, as far as agents can see it. */
import { expect, test } from "bun:test"
import { withLightSignals } from "./abort.ts"

/** What agents do with signals; everything that they could notice is told. */
function story(): readonly string[] {
  const told: string[] = []
  const say = (line: string) => (): void => void told.push(line)
  const [first, second] = [new AbortController(), new AbortController()]
  const { signal } = first
  const [one, two, three] = [say("one"), say("two"), say("three")]
  signal.addEventListener("abort", one, { once: true })
  signal.addEventListener("abort", one, { once: true })
  signal.addEventListener("abort", two, { once: true })
  signal.addEventListener("abort", () => signal.removeEventListener("abort", three))
  signal.addEventListener("abort", three)
  signal.removeEventListener("abort", two)
  signal.removeEventListener("abort", say("never added"))
  const many = Array.from({ length: 40 }, (_, i) => say(`many ${i}`))
  for (const listener of many) signal.addEventListener("abort", listener)
  for (const listener of many.slice(0, 38)) signal.removeEventListener("abort", listener)
  const either = AbortSignal.any([second.signal, signal])
  either.addEventListener("abort", () => told.push(`either: ${String(either.reason)}`))
  signal.throwIfAborted()
  first.abort("the reason")
  first.abort("another")
  second.abort()
  told.push(`${signal.aborted} ${String(signal.reason)} ${String(either.reason)}`)
  told.push(String(second.signal.reason instanceof DOMException && second.signal.reason.name))
  signal.addEventListener("abort", say("too late"))
  told.push(String(AbortSignal.any([second.signal, signal]).reason === second.signal.reason))
  told.push(String(AbortSignal.abort("at once").reason))
  try {
    signal.throwIfAborted()
  } catch (error) {
    told.push(`thrown: ${String(error)}`)
  }
  return told
}

test("withLightSignals() changes nothing that an agent can see", () => {
  const built = story()
  expect(built.length).toBeGreaterThan(8)
  expect(withLightSignals(story)).toEqual(built)
})

test("withLightSignals() puts the built-in ones back, also when the run throws", () => {
  const { AbortController: before } = globalThis
  expect(() =>
    withLightSignals(() => {
      throw new Error("a run")
    }),
  ).toThrow("a run")
  expect(globalThis.AbortController).toBe(before)
})
