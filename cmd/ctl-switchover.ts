/**
 * `stolon ctl switchover`: writes the wish into the view, then tells phase by phase what the leader
 * makes of it, and at the end how long writes paused. The wish is written once; whoever stops
 * waiting (timeout, Ctrl-C) leaves it to the leader, which finishes or undoes it, and is told so.
 */
import { switchoverCommand } from "#cli/ctl-moves.ts"
import type { Invocation } from "#cli/invocation.ts"
import type { Flags } from "#cli/flag.ts"
import { type Millis, never } from "#base/brand.ts"
import type { DBUID, KeeperUID, Nonce } from "#model/ids.ts"
import { printJsonIndented } from "#model/json.ts"
import { cannotSwitch, switchoverChange } from "#ctl/request.ts"
import {
  type Progress,
  type Watch,
  newWatch,
  pauseText,
  see,
  spanLine,
  switchoverJson,
  waitingLine,
} from "#ctl/switchover.ts"
import { foresee } from "#sentinel/foresee.ts"
import { realClock } from "#system/clock.ts"
import { change, freshNonce } from "./ctl-change.ts"
import { targetOf } from "./ctl-failover.ts"
import { type Heard, attend } from "./ctl-follow.ts"
import { Failure, type Session, current, session } from "./ctl-session.ts"
import { agreed } from "./ctl-terminal.ts"
import { type Known, known, led } from "./ctl-wish.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(switchoverCommand, invocation, async (it) => {
    const { to, drainTimeout, timeout, noWait, format } = it.values
    const target = targetOf("--to", to, it.positionals)
    const nonce = freshNonce()
    const wanted = switchoverChange(nonce, target, drainTimeout)
    // told before the question, not after it
    await current(it)
    const seen = await known(it)
    const early = wanted.edit(seen.data)
    if (early.kind === "refused") throw new Failure(early.message)
    const found = it.values.dryRun ? seen : await led(it, timeout)
    const older = cannotSwitch(found)
    if (older !== null) throw new Failure(older)
    if (it.values.dryRun) return foretell(found, target, format === "json")
    if (!(await agreed(it.values))) return 0
    const data = await change(it, wanted, nonce)
    if (data === null) return 0
    if (noWait) {
      await print(`switchover requested (${nonce})\n`)
      return 0
    }
    const { switchover, master } = data.cluster.status
    // an answer that was lost may come back as data in which the leader is far already
    const fresh = switchover?.nonce === nonce && switchover.phase !== "promote"
    const before = fresh ? master : found.data.cluster.status.master
    return watchIt(it, timeout, { nonce, before, json: format === "json" })
  })

/** What the leader would answer now, by its own rules. Nothing is written. */
async function foretell(found: Known, target: KeeperUID | null, json: boolean): Promise<number> {
  const forecast = foresee(found.data, found.infos, target)
  const none = found.leader === null ? "no sentinel leads, so nobody would act" : null
  const why = forecast.kind === "refused" ? forecast.why : none
  if (json) {
    const primary = forecast.kind === "target" ? forecast.keeper : null
    await print(`${printJsonIndented({ possible: why === null, primary, why })}\n`)
    return why === null ? 0 : 1
  }
  if (why !== null || forecast.kind === "refused")
    throw new Failure(`it would be refused: ${why}; see: stolon ctl explain`)
  const first = forecast.named ? ", after a while as a synchronous standby" : ""
  await print(
    `${forecast.keeper} would become the primary instead of ${forecast.instead}${first}\n`,
  )
  return 0
}

interface Watched {
  readonly nonce: Nonce
  readonly before: DBUID
  readonly json: boolean
}

/** Until the outcome; the exit code. */
async function watchIt<F extends Flags>(
  it: Session<F>,
  timeout: Millis,
  { nonce, before, json }: Watched,
): Promise<number> {
  let watch: Watch = newWatch(nonce, before, realClock.now().mono)
  let waitsFor = ""
  let told = ""
  const progress = await attend(
    it,
    timeout,
    (found): Heard<Progress> => {
      const { data } = found
      if (data === null) return { lines: [], end: null }
      const seen = see(watch, { ...found, data }, realClock.now().mono)
      watch = seen.watch
      const lines = seen.ended === null || json ? [] : [spanLine(seen.ended)]
      if (seen.progress.kind !== "waiting")
        return { lines, end: { kind: "done", value: seen.progress } }
      const { why, on } = seen.progress
      if (on !== "" && on !== told && !json) lines.push(waitingLine(on))
      told = on
      waitsFor = why === null ? on && `, which waits (${on})` : `, given up (${why})`
      return { lines, end: null }
    },
    (how) =>
      `${how}: ${watch.stage}${waitsFor}; the leading sentinel goes on with it or undoes it; look at: stolon ctl status`,
  )
  if (json) {
    await print(`${printJsonIndented(switchoverJson(watch, progress))}\n`)
    return progress.kind === "done" ? 0 : 1
  }
  await print(`${outcome(progress)}\n`)
  return 0
}

/** The last line, or the failure that says what to do. */
function outcome(progress: Progress): string {
  switch (progress.kind) {
    case "done":
      return `${progress.keeper ?? "?"} is the primary; ${pauseText(progress.pause)}`
    case "refused":
      throw new Failure(
        `the leading sentinel refused the switchover: ${progress.why}; see: stolon ctl explain`,
      )
    case "given-up":
      throw new Failure(
        `the switchover was given up: ${progress.why}; ${progress.keeper ?? "?"} is the primary, ${pauseText(progress.pause)}; see: stolon ctl explain`,
      )
    case "lost":
      throw new Failure(
        "the request is gone without an answer, and the primary unchanged (does a Go sentinel lead?); look at: stolon ctl status",
      )
    case "waiting":
      throw new Error("not over yet")
    default:
      return never(progress)
  }
}
