/**
 * What a person at `stolon ctl` does, as a process of its own: read, change, compare-and-swap,
 * again on conflict. The changes are the real command's; what it refuses is told and not written.
 */
import { millis } from "#base/brand.ts"
import { generator } from "#base/random.ts"
import { failKeeper as fail, promoteCluster } from "#ctl/edit.ts"
import { requestFailover, requestSwitchover } from "#ctl/request.ts"
import { type Edit, removeKeeper as remove } from "#ctl/edit.ts"
import { pauseChange, resumeChange } from "#ctl/pause.ts"
import { transition } from "#ctl/spec.ts"
import { type WishKind, wishChange } from "#ctl/wishes.ts"
import { newClusterData } from "#model/cluster.ts"
import { zeroTime } from "#model/codec.ts"
import { type KeeperUID, newCluster, newNonce } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { createClock } from "./clock.ts"
import type { Sim } from "./sim.ts"

/** A person who does not give up while the store is away. */
const tries = 100

export interface Operator {
  /** Writes the first document. */
  init(spec: Spec): void
  change(what: string, edit: Edit): void
}

export function createOperator(sim: Sim): Operator {
  const { world } = sim
  const process = world.spawn("ctl", world.machine("ctl", 5_000, 1))
  const store = sim.store.port(process)
  const clock = createClock(world, process)
  const { signal } = new AbortController()
  const attempt = async (edit: Edit): Promise<boolean> => {
    const reading = await store.read(signal)
    if (reading.kind === "absent") return true
    const next = edit(reading.data)
    if (next.kind !== "edited") {
      world.trace.add("ctl", next.kind, { message: next.message })
      return true
    }
    const { version } = reading
    const written = await store.write(next.data, { kind: "version", version }, null, signal)
    return written.kind !== "conflict"
  }
  const change = (what: string, edit: Edit): void => {
    world.trace.add("ctl", what)
    const again = (left: number): void => {
      world.at(left === tries ? 0 : 300, process, () => {
        attempt(edit).then(
          (done) => void (done || left === 0 || again(left - 1)),
          () => void (left === 0 || again(left - 1)),
        )
      })
    }
    again(tries)
  }
  return {
    change,
    init(spec) {
      world.trace.add("ctl", "init")
      const uid = newCluster(generator(world.random.below(2 ** 31)))
      const data = newClusterData(uid, spec, clock.now().wall)
      const write = (): void => {
        store.write(data, { kind: "anything" }, null, signal).then(
          ({ kind }) => void (kind === "written" || world.at(500, process, write)),
          () => void world.at(500, process, write),
        )
      }
      world.at(0, process, write)
    },
  }
}

/** `ctl failover [KEEPER]`: a wish, see `FailoverRequest`; empty: whoever is best. */
export const failover = (sim: Sim, keeper: KeeperUID): Edit =>
  requestFailover(
    newNonce(generator(sim.world.random.below(2 ** 31))),
    keeper === "" ? null : keeper,
  )

/** `ctl switchover [--to KEEPER]`; null: whoever is best. */
export const switchover = (sim: Sim, keeper: KeeperUID | null): Edit =>
  requestSwitchover(newNonce(generator(sim.world.random.below(2 ** 31))), keeper, drain)
const drain = millis(5_000)

/** `ctl failkeeper KEEPER`. */
export const failKeeper = (uid: KeeperUID): Edit => fail(uid, "strict")

/** `ctl removekeeper KEEPER`. */
export const removeKeeper = (uid: KeeperUID): Edit => remove(uid, "strict")

/** `ctl promote`: of a standby cluster. */
export const promote: Edit = promoteCluster("strict")

/** `ctl update --patch`; by a function, when it depends on what is there. */
export const update =
  (patch: Partial<Spec> | ((spec: Spec) => Partial<Spec>)): Edit =>
  (data) => {
    const { spec: stored } = data.cluster
    const spec = { ...stored, ...(typeof patch === "function" ? patch(stored) : patch) }
    const broken = transition(stored, spec, "strict")
    return broken === null
      ? { kind: "edited", data: { ...data, cluster: { ...data.cluster, spec } } }
      : { kind: "refused", message: broken }
  }

const asked = { by: "somebody@sim", since: zeroTime } as const

/** `ctl pause [KEEPER]`; null: the cluster. */
export const pause = (keeper: KeeperUID | null): Edit =>
  pauseChange(keeper, { ...asked, reason: "" }).edit

/** `ctl resume [KEEPER]`. */
export const resume = (keeper: KeeperUID | null): Edit => resumeChange(keeper).edit

/** `ctl restart | reload | reclone KEEPER`. */
export const wishFor = (
  sim: Sim,
  kind: WishKind,
  keeper: KeeperUID,
  discardOld: boolean = false,
): Edit => {
  const nonce = newNonce(generator(sim.world.random.below(2 ** 31)))
  return wishChange(kind, keeper, { ...asked, nonce, discardOld }).edit
}
