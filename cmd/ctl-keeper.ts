/**
 * `ctl failkeeper` and `ctl removekeeper` (reference 1.7).
 */
import { failkeeperCommand, removekeeperCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import { type Change, failChange, removeChange } from "#ctl/edit.ts"
import type { Manner } from "#ctl/spec.ts"
import { StoreError } from "#port/store.ts"
import { change } from "./ctl-change.ts"
import { GoRefusal } from "./ctl-go-store.ts"
import { Failure, type Session, current, session } from "./ctl-session.ts"
import { agreed } from "./ctl-terminal.ts"
import type { Flags } from "#cli/flag.ts"

export const fail = (invocation: Invocation): Promise<number> =>
  session(failkeeperCommand, invocation, async (it) =>
    it.manner === "go" || (await agreed(it.values)) ? onKeeper(it, failChange) : 0,
  )

export const remove = (invocation: Invocation): Promise<number> =>
  session(removekeeperCommand, invocation, async (it) => {
    const { iUnderstandDataLoss: evenLast } = it.values
    if (it.manner !== "go" && !(await agreed(it.values))) return 0
    return onKeeper(it, (uid, manner) => removeChange(uid, manner, evenLast))
  })

async function onKeeper<F extends Flags>(
  it: Session<F>,
  wanted: (uid: KeeperUID, manner: Manner) => Change,
): Promise<number> {
  const [uid = "", ...more] = it.positionals
  if (more.length > 0) throw new Failure("too many arguments")
  if (uid === "")
    throw it.manner === "go"
      ? new Failure("keeper uid required")
      : new Failure(`which keeper? give its uid: ${it.program} KEEPER (see: stolon ctl status)`, 2)
  if (it.manner === "go") await current(it).catch(doubled)
  await change(it, wanted(keeperUID(uid), it.manner))
  return 0
}

/** Go's two commands put the same words before a failed read once more, unless they crash. */
function doubled(error: unknown): never {
  const prefix = "cannot get cluster data: "
  const document = error instanceof Failure || error instanceof GoRefusal
  if (document && error.exit === 1) throw new Failure(`${prefix}${error.message}`)
  if (error instanceof StoreError && error.code === "unavailable")
    throw new Failure(`${prefix}${prefix}context deadline exceeded`)
  throw error
}
