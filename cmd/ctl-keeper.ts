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
import { Failure, type Session, absent, session } from "./ctl-session.ts"
import type { Flags } from "#cli/flag.ts"

export const fail = (invocation: Invocation): Promise<number> =>
  session(failkeeperCommand, invocation, (it) => onKeeper(it, failChange))

export const remove = (invocation: Invocation): Promise<number> =>
  session(removekeeperCommand, invocation, (it) => onKeeper(it, removeChange))

async function onKeeper<F extends Flags>(
  it: Session<F>,
  wanted: (uid: KeeperUID, manner: Manner) => Change,
): Promise<number> {
  const [uid = "", ...more] = it.positionals
  if (more.length > 0) throw new Failure("too many arguments")
  if (uid === "") throw new Failure("keeper uid required")
  try {
    await change(it, wanted(keeperUID(uid), it.manner))
  } catch (error) {
    throw it.manner === "go" ? doubled(error, it) : error
  }
  return 0
}

/** Go's two commands put the same words before a failed read once more. */
function doubled<F extends Flags>(error: unknown, it: Session<F>): unknown {
  const prefix = "cannot get cluster data: "
  if (error instanceof Failure && error.message === absent(it.manner, it.choice))
    return new Failure(`${prefix}${error.message}`)
  if (error instanceof StoreError)
    return new Failure(
      `${prefix}${error.code === "format" ? "" : prefix}${error.message.replace(/^formatVersion: /, "")}`,
    )
  return error
}
