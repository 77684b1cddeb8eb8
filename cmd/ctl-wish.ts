/**
 * Writing a wish for one keeper and waiting until it is fulfilled; when that takes too long it is
 * taken back, so that nothing happens after somebody gave up waiting for it.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Flags } from "#cli/flag.ts"
import type { ClusterData } from "#model/cluster.ts"
import type { KeeperUID, Nonce } from "#model/ids.ts"
import type { Found } from "#ctl/status.ts"
import { type WishKind, wishChange, withdrawal } from "#ctl/wishes.ts"
import { realClock } from "#system/clock.ts"
import { asker } from "./ctl-asker.ts"
import { change, freshNonce } from "./ctl-change.ts"
import { type Seen, follow, lookAt } from "./ctl-follow.ts"
import { Failure, type Session, absent } from "./ctl-session.ts"
import { commit } from "./ctl-write.ts"

export type Known = Found & { readonly data: ClusterData }

/** What stands in the store, infos included. */
export async function known<F extends Flags>(it: Session<F>): Promise<Known> {
  const found = await lookAt(await it.store(), it.signal)
  if (found.data === null) throw new Failure(absent(it.manner, it.choice))
  return { ...found, data: found.data }
}

/** An election takes a few seconds when the leader has died. */
const electionTime = 10_000
const glance = millis(250)

/**
 * The same when a sentinel leads; waits a moment for one. Nobody else takes a wish up, and one that
 * stays would be carried out whenever a sentinel starts, by then to everybody's surprise.
 */
export async function led<F extends Flags>(it: Session<F>, timeout: Millis): Promise<Known> {
  const end = realClock.now().mono + Math.min(electionTime, timeout)
  for (;;) {
    const found = await known(it)
    if (found.leader !== null) return found
    if (realClock.now().mono >= end)
      throw new Failure(
        "no sentinel leads this cluster, so nobody would act, and nothing was asked for; start one with stolon sentinel, or look at: stolon ctl status",
      )
    await realClock.sleep(glance, it.signal)
  }
}

export async function wishAndWait<F extends Flags>(
  it: Session<F>,
  kind: "restart" | "reload",
  uid: KeeperUID,
  timeout: Millis,
  judge: (found: Found, nonce: Nonce) => Seen<null>,
): Promise<void> {
  const nonce = await write(it, kind, uid, false)
  try {
    await follow(it, timeout, (found) => judge(found, nonce), "the request is taken back")
  } catch (error) {
    const check = (): null => null
    const store = await it.store()
    await commit(store, withdrawal(kind, uid, nonce), { nonce: freshNonce(), check }, it.signal)
    throw error
  }
}

/** Returns the nonce by which the wish is known. */
export async function write<F extends Flags>(
  it: Session<F>,
  kind: WishKind,
  uid: KeeperUID,
  discardOld: boolean,
): Promise<Nonce> {
  const nonce = freshNonce()
  const wish = { nonce, by: asker(), since: realClock.now().wall, discardOld }
  await change(it, wishChange(kind, uid, wish), nonce)
  return nonce
}
