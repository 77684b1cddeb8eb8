/**
 * What of the objects wakes whom: the cluster data, the leader's record, infos of pods. Object
 * versions change all the time (the record is renewed every other second), so texts are compared
 * and only another text wakes anybody. An info that runs out wakes, too, though nothing is sent.
 */
import { millis } from "#base/brand.ts"
import type { Kube } from "./kube-client.ts"
import type { Freshness } from "./kube-fresh.ts"
import {
  type Place,
  annotation,
  dataAnnotation,
  getMap,
  leaderAnnotation,
  listPods,
  mapName,
  mapsPath,
  podSelector,
  podsPath,
} from "./kube-objects.ts"
import { watchObjects } from "./kube-watch.ts"

/** Hears the new text, null when there is none, undefined when nobody knows. */
export type Changed = (text?: string | null) => void
type Follow = (kube: Kube, place: Place, changed: Changed, signal: AbortSignal) => Promise<void>

const watchAnnotation =
  (name: string): Follow =>
  (kube, place, changed, signal) => {
    let last: string | null = null
    const tell = (text: string | null): void => {
      if (text === last) return
      last = text
      changed(text)
    }
    const watched = {
      path: mapsPath(place),
      query: { fieldSelector: `metadata.name=${mapName(place)}` },
      async read(own: AbortSignal) {
        const object = await getMap(kube, place, own)
        return object === null ? [] : [object]
      },
    }
    const heard = {
      stands: () => changed(),
      seen: (object: Parameters<typeof annotation>[0]) => tell(annotation(object, name)),
      gone: () => tell(null),
    }
    return watchObjects(kube, watched, heard, signal)
  }

export const watchData = watchAnnotation(dataAnnotation)
export const watchRecord = watchAnnotation(leaderAnnotation)

export async function watchPods(
  kube: Kube,
  place: Place,
  fresh: Freshness,
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  const watched = {
    path: podsPath(place),
    query: podSelector(place),
    read: (own: AbortSignal) => listPods(kube, place, own),
  }
  const phases = new Map<string, string>()
  const now = () => kube.clock.now().mono
  const following = watchObjects(
    kube,
    watched,
    {
      stands: changed,
      seen(pod) {
        const { uid, deletionTimestamp } = pod.metadata
        const phase = `${pod.status?.phase} ${deletionTimestamp}`
        const moved = phases.has(uid) && phases.get(uid) !== phase
        phases.set(uid, phase)
        // the listing may have noted it first: whoever hears of it twice looks twice
        if (fresh.note(pod, now()) || moved) changed()
      },
      gone(pod) {
        phases.delete(pod.metadata.uid)
        fresh.forget(pod)
        changed()
      },
    },
    signal,
  )
  const expiring = async (): Promise<void> => {
    while (!signal.aborted) {
      const end = fresh.nextEnd(now())
      const wait = Math.min(1000, Math.max(1, (end ?? Infinity) - now()))
      await kube.clock.sleep(millis(wait), signal).catch(() => undefined)
      if (end !== null && now() >= end && !signal.aborted) changed()
    }
  }
  await Promise.all([following, expiring()])
}
