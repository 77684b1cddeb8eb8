/**
 * Whether this process could do a leader's work: publish in its own pod and list the others'. Go's
 * sentinel takes the office and keeps it while it can do neither, beside healthy candidates (D-88).
 *
 * Only answers count, never their absence: a server that is silent is silent to every candidate.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { StoreError } from "#port/store.ts"
import type { Kube } from "./kube-client.ts"
import { type Place, listPods, podPath } from "./kube-objects.ts"
import { mergePatch, refusal } from "./kube-client.ts"

export interface Able {
  /** Throws when it cannot. */
  prove(signal: AbortSignal): Promise<void>
  /** What came of the work itself. */
  heard(work: "publish" | "list", refused: boolean): void
  /** True when one of them has been refused for some time. */
  lost(): boolean
}

/** A pod that is made anew under its name is missing for a moment. */
const patience = 5000

export function ableOf(kube: Kube, place: Place, pod: string | null, clock: Clock): Able {
  const since = new Map<string, Millis>()
  return {
    async prove(signal) {
      await listPods(kube, place, signal)
      if (pod === null) return
      const path = podPath(place, pod)
      const query = { dryRun: "All" }
      const request = { method: "PATCH", path, query, body: {}, type: mergePatch } as const
      const reply = await kube.ask(request, signal)
      if (reply.status === 404)
        throw new StoreError("unavailable", `there is no pod ${pod}; is POD_NAME right?`)
      if (reply.status >= 300) throw refusal(request, reply)
      since.clear()
    },
    heard(work, refused) {
      if (!refused) since.delete(work)
      else if (!since.has(work)) since.set(work, clock.now().mono)
    },
    lost: () => [...since.values()].some((start) => clock.now().mono - start > millis(patience)),
  }
}
