/**
 * `ctl reclone`: asks the leader to replace a standby's copy, and tells how far the new one is.
 */
import { recloneCommand } from "#cli/ctl-verbs.ts"
import type { Invocation } from "#cli/invocation.ts"
import { dbOfKeeper } from "#model/cluster.ts"
import { keeperUID, noDB } from "#model/ids.ts"
import { atStake, recloneProgress, recloneRefusal } from "#ctl/reclone.ts"
import { type Seen, follow } from "./ctl-follow.ts"
import { Failure, session } from "./ctl-session.ts"
import { confirm } from "./ctl-terminal.ts"
import { known, write } from "./ctl-wish.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(recloneCommand, invocation, async (it) => {
    const { discardOld, dryRun, noWait, timeout, yes } = it.values
    const [typed] = it.positionals
    if (typed === undefined)
      throw new Failure(`which keeper? give its uid: ${it.program} KEEPER`, 2)
    const uid = keeperUID(typed)
    const found = await known(it)
    const refusal = recloneRefusal(found, uid)
    if (refusal !== null) throw new Failure(refusal)
    await print(atStake(uid, discardOld))
    if (dryRun) return 0
    if (!yes && !(await confirm(false))) return 0
    const before = dbOfKeeper(found.data, uid)?.uid ?? noDB
    const nonce = await write(it, "reclone", uid, discardOld)
    if (noWait) {
      await print(`fresh copy requested (${nonce})\n`)
      return 0
    }
    await follow(
      it,
      timeout,
      (now): Seen<null> => {
        const progress = recloneProgress(now, uid, before, nonce)
        if (progress.kind === "done")
          return { kind: "done", value: null, line: `keeper ${uid} has a fresh copy and streams` }
        if (progress.kind === "waiting") return progress
        return {
          kind: "failed",
          message: "the leading sentinel refused it; its log says why (nothing was changed)",
        }
      },
      "it goes on all the same; look at: stolon ctl status",
    )
    return 0
  })
