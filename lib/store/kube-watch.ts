/**
 * Watches on objects of the API server: one stream, opened again whenever it ends, from the version
 * last heard of; from the present state when the server has forgotten that one (410).
 *
 * A stream that hangs cannot be told from a quiet one, so each is asked for a short time only and
 * cut soon after it. Without the right to watch, objects are read every other second: a role made
 * for Go stolon has no such right. What is heard here is a wake-up and never the truth.
 */
import * as v from "valibot"
import { type Millis, millis } from "#base/brand.ts"
import { StoreError } from "#port/store.ts"
import type { Kube } from "./kube-client.ts"
import { type KubeObject, parseObject } from "./kube-objects.ts"
import { within } from "./scope.ts"

export interface Watched {
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** What is there now, for who may not watch. */
  read(signal: AbortSignal): Promise<readonly KubeObject[]>
}
export interface Heard {
  /** The watch stands, for the first time or again: anything may have happened before. */
  stands(): void
  seen(object: KubeObject): void
  gone(object: KubeObject): void
}

/** Seconds that a stream is asked for, and how long after that it is cut. */
const streamSeconds = 20
const streamGrace = 5
const lookPause = millis(2000)
/** So long nobody asks again for the right to watch. */
const deniedFor = 60_000

const Line = v.object({ type: v.string(), object: v.unknown() })
const Status = v.object({
  code: v.optional(v.number(), 0),
  message: v.optional(v.string(), ""),
})

/** Resolves when `signal` aborts or the store is closed. */
export async function watchObjects(
  kube: Kube,
  watched: Watched,
  heard: Heard,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = kube
  const over = (): boolean => signal.aborted || kube.closed.aborted
  const state: State = { version: "", pause: firstPause, looked: null, lookUntil: millis(0) }
  while (!over()) {
    try {
      if (clock.now().mono < state.lookUntil) await look(kube, watched, heard, state, signal)
      else await stream(kube, watched, heard, state, signal)
    } catch (error) {
      if (over()) return
      if (error instanceof StoreError && error.code === "denied")
        state.lookUntil = millis(clock.now().mono + deniedFor)
      if (error instanceof Forgotten) state.version = ""
      await clock.sleep(millis(state.pause * (0.5 + Math.random())), signal).catch(() => undefined)
      state.pause = Math.min(state.pause * 2, 2000)
    }
  }
}

const firstPause = 50
interface State {
  /** Heard of last; empty: the stream begins with what there is. */
  version: string
  pause: number
  /** By name, while there is no right to watch. */
  looked: ReadonlyMap<string, KubeObject> | null
  lookUntil: Millis
}
class Forgotten extends Error {}

async function stream(
  kube: Kube,
  { path, query }: Watched,
  heard: Heard,
  state: State,
  signal: AbortSignal,
): Promise<void> {
  const resume = state.version === "" ? {} : { resourceVersion: state.version }
  const times = { watch: "1", allowWatchBookmarks: "true", timeoutSeconds: `${streamSeconds}` }
  const request = { method: "GET", path, query: { ...query, ...times, ...resume } } as const
  const bound: Millis = millis((streamSeconds + streamGrace) * 1000)
  // the end of a stream that was asked for is no gap
  const quiet = state.version !== "" && state.pause === firstPause
  const stands = (): void => {
    opened = true
    if (!quiet) heard.stands()
  }
  let opened = false
  try {
    await within(kube.clock, bound, signal, async (bounded) => {
      for await (const line of kube.lines(request, stands, bounded)) {
        state.pause = firstPause
        take(line, heard, state, path)
      }
    })
  } finally {
    // a version that the server would not go on from, for whatever reason
    if (!opened) state.version = ""
  }
  if (state.version !== "") state.pause = firstPause
  else await kube.clock.sleep(millis(firstPause), signal) // a stream that says nothing at all
}

function take(line: string, heard: Heard, state: State, path: string): void {
  const event = v.safeParse(v.pipe(v.string(), v.parseJson(), Line), line)
  if (!event.success) throw new StoreError("malformed", `${path}: no event: ${line.slice(0, 80)}`)
  const { type, object } = event.output
  if (type === "ERROR") {
    const status = v.safeParse(Status, object)
    if (status.success && status.output.code === 410) throw new Forgotten(status.output.message)
    throw new StoreError("unavailable", `${path}: ${status.success ? status.output.message : line}`)
  }
  const known = parseObject(object, path)
  if (known.metadata.resourceVersion !== "") state.version = known.metadata.resourceVersion
  if (type === "DELETED") heard.gone(known)
  else if (type !== "BOOKMARK") heard.seen(known)
}

/** One look in place of a stream. */
async function look(
  kube: Kube,
  watched: Watched,
  heard: Heard,
  state: State,
  signal: AbortSignal,
): Promise<void> {
  const objects = await watched.read(signal)
  const now = new Map(objects.map((object) => [object.metadata.name, object]))
  if (state.looked === null || state.pause !== firstPause) heard.stands()
  for (const object of objects) heard.seen(object)
  for (const [name, object] of state.looked ?? []) if (!now.has(name)) heard.gone(object)
  state.looked = now
  state.version = ""
  state.pause = firstPause
  await kube.clock.sleep(lookPause, signal)
}
