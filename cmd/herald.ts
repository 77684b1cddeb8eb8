/**
 * `stolon herald`: publishes one certificate in a keeper's stead and ends (protocol part 1).
 * Hidden; the guardian starts it and writes to its input, once the certificate is on disk.
 *
 * Everybody waits for it, so its imports are few, and the store is opened while the guardian still
 * writes. It says once what stands in its input; it must never go on for long, because a new keeper
 * of this data directory publishes under the same name.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import { decode } from "#model/codec.ts"
import { infoUID } from "#model/ids.ts"
import { Certificate, KeeperInfo } from "#model/info.ts"
import { StoreError, type StoreSettings } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"

/** The guardian got the settings from the keeper, whose flags were checked. */
const settings = v.custom<StoreSettings>((x) => typeof x === "object" && x !== null)
const orders = v.object({
  info: v.string(),
  store: settings,
  ttl: v.number(),
  certificate: v.string(),
})

const together = 10_000
const once = 2_000
const pause = 100

export async function main(): Promise<number> {
  const {
    info,
    store: where,
    ttl,
    certificate,
  } = v.parse(v.pipe(v.string(), v.parseJson(), orders), await Bun.stdin.text())
  const before: KeeperInfo = decode<KeeperInfo>(KeeperInfo, info)
  const { postgresState: state } = before
  const after: KeeperInfo = {
    ...before,
    infoUID: infoUID(realChance.uid()),
    ended: true,
    certificate: decode<Certificate>(Certificate, certificate),
    ...(state === undefined ? {} : { postgresState: { ...state, healthy: false } }),
  }
  const end = AbortSignal.timeout(together)
  await using store = await openStore(where, end)
  while (!end.aborted) {
    try {
      const bounded = AbortSignal.any([end, AbortSignal.timeout(once)])
      await store.publish({ kind: "keeper", info: after }, millis(ttl), bounded)
      return 0
    } catch (error) {
      if (error instanceof StoreError && !error.retryable) return 1
      await Bun.sleep(pause)
    }
  }
  return 1
}

if (import.meta.main) process.exit(await main())
