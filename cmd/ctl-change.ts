/**
 * The end of every changing command: an edit committed, or the reason why not in the words of the
 * dialect.
 */
import type { Flags } from "#cli/flag.ts"
import type { ClusterData } from "#model/cluster.ts"
import { newNonce } from "#model/ids.ts"
import type { Nonce } from "#model/ids.ts"
import { generator } from "#base/random.ts"
import { type Change, unusable } from "#ctl/edit.ts"
import { inMotion } from "#ctl/migrate.ts"
import { realChance } from "#system/chance.ts"
import { warn } from "./front.ts"
import { Failure, type Session, absent } from "./ctl-session.ts"
import { isDryRun, preview } from "./ctl-dry-run.ts"
import { commit } from "./ctl-write.ts"

export const freshNonce = (): Nonce => newNonce(generator(realChance.seed()))

/** The data as written, or null when there was nothing to change (the reason has been told). */
export async function change<F extends Flags>(
  it: Session<F>,
  wanted: Change,
  nonce: Nonce = freshNonce(),
): Promise<ClusterData | null> {
  if (isDryRun(it)) {
    await preview(it, wanted)
    return null
  }
  const check = (data: ClusterData): string | null =>
    inMotion(data) ?? (wanted.repairs ? null : unusable(data, it.manner))
  const result = await commit(await it.store(), wanted, { nonce, check }, it.signal)
  const go = it.manner === "go"
  switch (result.kind) {
    case "written":
      return result.data
    case "unchanged":
      await warn(`${result.message}\n`)
      return null
    case "refused":
      throw new Failure(result.message, result.exit)
    case "absent":
      throw new Failure(absent(it.manner, it.choice))
    case "conflicts":
      throw new Failure(
        go
          ? "failed to update cluster data after 3 retries"
          : "the cluster data changed three times while this command tried to change them; try again",
      )
    case "uncertain":
      throw new Failure(
        go
          ? `cannot update cluster data: ${result.why}`
          : `the store gave no answer to the write, which may or may not have been applied (${result.why}); look at: stolon ctl status`,
      )
  }
}
