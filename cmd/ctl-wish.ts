/**
 * Writing a wish for one keeper and waiting until it is fulfilled; when that takes too long it is
 * taken back, so that nothing happens after somebody gave up waiting for it.
 */
import type { Millis } from "#base/brand.ts"
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
