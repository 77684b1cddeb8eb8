/**
 * `stolon ctl failover`: writes the wish into the view, then watches what the leader makes of it.
 * The wish is written once: when the answer to that write is lost it is looked for, never repeated.
 */
import { failoverCommand } from "#cli/ctl-moves.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import { type Watch, see } from "#ctl/failover.ts"
import { failoverChange } from "#ctl/request.ts"
import { change, freshNonce } from "./ctl-change.ts"
import { type Seen, follow } from "./ctl-follow.ts"
import { Failure, current, session } from "./ctl-session.ts"
import { agreed } from "./ctl-terminal.ts"
import { led } from "./ctl-wish.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(failoverCommand, invocation, async (it) => {
    const { keeper, to, timeout, noWait } = it.values
    const named = targetOf("--keeper", keeper, it.positionals)
    const target = targetOf("--to", to, named === null ? [] : [named])
    const nonce = freshNonce()
    const wanted = failoverChange(nonce, target)
    // told before the question, not after it
    const early = wanted.edit((await current(it)).data)
    if (early.kind === "refused") throw new Failure(early.message)
    if (!it.values.dryRun) await led(it, timeout)
    if (!(await agreed(it.values))) return 0
    const data = await change(it, wanted, nonce)
    if (data === null) return 0
    if (noWait) {
      await print(`failover requested (${nonce})\n`)
      return 0
    }
    const { master: before, primaryEpoch: epoch } = data.cluster.status
    let watch: Watch = { nonce, before, epoch, target, begun: false, line: "" }
    const late = "the request stays; look at: stolon ctl status"
    await follow(
      it,
      timeout,
      (found): Seen<null> => {
        if (found.data === null) return { kind: "waiting", line: watch.line }
        const seen = see(watch, found.data)
        watch = seen.watch
        return outcome(seen, watch)
      },
      late,
    )
    return 0
  })

/** The keeper that is named, by flag or as an argument; null: the leader chooses. */
export function targetOf(
  flag: string,
  value: string,
  [typed]: readonly string[],
): KeeperUID | null {
  if (typed !== undefined && value !== "" && typed !== value)
    throw new Failure(`two keepers are named, ${value} by ${flag} and ${typed}; name one`, 2)
  const uid = typed ?? value
  return uid === "" ? null : keeperUID(uid)
}

function outcome({ progress }: ReturnType<typeof see>, { line, target }: Watch): Seen<null> {
  switch (progress.kind) {
    case "waiting":
      return { kind: "waiting", line }
    case "done":
      return { kind: "done", value: null, line }
    case "other":
      return {
        kind: "failed",
        message: `keeper ${progress.keeper ?? "?"} became the primary, not ${target}`,
      }
    case "refused":
      return {
        kind: "failed",
        message:
          progress.why === null
            ? "the leading sentinel refused the failover; its log says why (request gone, primary unchanged)"
            : `the leading sentinel refused the failover: ${progress.why}; see: stolon ctl explain`,
      }
    case "reinstated":
      return {
        kind: "failed",
        message: `nobody could take over${progress.why === null ? "" : ` (${progress.why})`}; the old primary has its role back`,
      }
  }
}
