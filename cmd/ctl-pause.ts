/**
 * `ctl pause` and `ctl resume` (what they mean: `lib/ctl/pause.ts`).
 */
import { pauseCommand, resumeCommand } from "#cli/ctl-verbs.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import { deafKeepers, deafLeader, pauseChange, resumeChange, whatOf } from "#ctl/pause.ts"
import { realClock } from "#system/clock.ts"
import { asker } from "./ctl-asker.ts"
import { change } from "./ctl-change.ts"
import { lookAt } from "./ctl-follow.ts"
import { Failure, session } from "./ctl-session.ts"
import { agreed } from "./ctl-terminal.ts"
import { print, warn } from "./front.ts"

const named = (uid: string | undefined): KeeperUID | null =>
  uid === undefined ? null : keeperUID(uid)

export const pause = (invocation: Invocation): Promise<number> =>
  session(pauseCommand, invocation, async (it) => {
    const uid = named(it.positionals[0])
    const mark = { since: realClock.now().wall, by: asker(), reason: it.values.reason }
    const found = await lookAt(await it.store(), it.signal)
    const deaf = deafLeader(found)
    if (deaf !== null) throw new Failure(deaf)
    if (!(await agreed(it.values))) return 0
    if ((await change(it, pauseChange(uid, mark))) === null) return 0
    await print(
      `${whatOf(uid)} is paused; to go on: ${it.program.replace(/pause$/, "resume")}${uid === null ? "" : ` ${uid}`}\n`,
    )
    for (const keeper of deafKeepers(found.infos, uid))
      await warn(
        `warning: keeper ${keeper} does not know pauses (it is Go stolon's, or older) and goes on as ever\n`,
      )
    return 0
  })

export const resume = (invocation: Invocation): Promise<number> =>
  session(resumeCommand, invocation, async (it) => {
    const uid = named(it.positionals[0])
    if (!(await agreed(it.values))) return 0
    if ((await change(it, resumeChange(uid))) === null) return 0
    await print(`${whatOf(uid)} goes on\n`)
    return 0
  })
