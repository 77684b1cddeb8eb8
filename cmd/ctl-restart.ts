/**
 * `ctl restart` and `ctl reload`: one keeper after the other. Whom and in which order is decided in
 * `lib/ctl/restart.ts`, anew after each, because roles may have moved meanwhile.
 */
import { type Millis, millis } from "#base/brand.ts"
import { reloadCommand, restartCommand } from "#cli/ctl-verbs.ts"
import type { Flags } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import { type Target, type Which, restartOrder, restartProgress } from "#ctl/restart.ts"
import { reloadTargets } from "#ctl/wishes.ts"
import { realClock } from "#system/clock.ts"
import { type Seen, follow, since } from "./ctl-follow.ts"
import { Failure, type Session, absent, session } from "./ctl-session.ts"
import { agreed } from "./ctl-terminal.ts"
import { known, wishAndWait } from "./ctl-wish.ts"
import { print, warn } from "./front.ts"

export const restart = (invocation: Invocation): Promise<number> =>
  session(restartCommand, invocation, async (it) => {
    const { rolling, pending, dryRun, timeout } = it.values
    const which = whichOf(it.positionals[0], rolling, pending)
    // a specification that was just changed is applied in a moment
    const first = await order(it, which, millis(Math.min(timeout, settleTime)), new Set())
    if (first.length === 0) {
      await print("nothing to restart\n")
      return 0
    }
    if (dryRun) {
      await print(first.map(({ keeper, role }) => `would restart ${keeper} (${role})\n`).join(""))
      return 0
    }
    if (!(await agreed(it.values))) return 0
    const done = new Set<KeeperUID>()
    try {
      await eachInTurn(it, which, timeout, done)
    } catch (error) {
      if (!(error instanceof Failure) || done.size === 0) throw error
      throw new Failure(`${error.message} (restarted so far: ${[...done].join(", ")})`, error.exit)
    }
    return 0
  })

async function eachInTurn<F extends Flags>(
  it: Session<F>,
  which: Which,
  timeout: Millis,
  done: Set<KeeperUID>,
): Promise<void> {
  const again = new Set<KeeperUID>()
  for (;;) {
    const [next] = await order(it, which, timeout, done)
    if (next === undefined) return
    const { keeper, role } = next
    // a parameter that no restart brings in would keep this going for ever
    if (again.has(keeper)) return
    if (done.has(keeper)) again.add(keeper)
    const from = realClock.now().mono
    await wishAndWait(it, "restart", keeper, timeout, (found, nonce) => {
      const progress = restartProgress(found, keeper, nonce)
      return progress.kind === "done" ? { kind: "done", value: null, line: "" } : progress
    })
    done.add(keeper)
    await print(`restarted ${keeper} (${role}) in ${since(from)}\n`)
  }
}

const settleTime = 30_000

/** Who is still to be restarted; waits until everybody is well. */
const order = <F extends Flags>(
  it: Session<F>,
  which: Which,
  timeout: Millis,
  done: ReadonlySet<KeeperUID>,
): Promise<readonly Target[]> =>
  follow(
    it,
    timeout,
    (found): Seen<readonly Target[]> => {
      if (found.data === null) return { kind: "failed", message: absent(it.manner, it.choice) }
      const made = restartOrder({ ...found, data: found.data }, which, done)
      if (made.kind === "refused") return { kind: "failed", message: made.message }
      if (made.kind === "unwell") return { kind: "waiting", line: made.message }
      return { kind: "done", value: made.targets, line: "" }
    },
    "nothing more is restarted",
  )

function whichOf(keeper: string | undefined, rolling: boolean, pending: boolean): Which {
  const given = [keeper !== undefined, rolling, pending].filter(Boolean).length
  if (given !== 1)
    throw new Failure("which? give one keeper, or --rolling, or --pending (see --help)", 2)
  if (keeper !== undefined) return { kind: "one", keeper: keeperUID(keeper) }
  return { kind: rolling ? "rolling" : "pending" }
}

export const reload = (invocation: Invocation): Promise<number> =>
  session(reloadCommand, invocation, async (it) => {
    const [uid] = it.positionals
    const found = await known(it)
    const targets = reloadTargets(found, uid === undefined ? null : keeperUID(uid))
    if (targets.kind === "refused") throw new Failure(targets.message)
    for (const message of targets.skipped) await warn(`skipped: ${message}\n`)
    if (it.values.dryRun) {
      await print(targets.keepers.map((keeper) => `would reload ${keeper}\n`).join(""))
      return 0
    }
    if (!(await agreed(it.values))) return 0
    for (const keeper of targets.keepers) await reloadOne(it, keeper, it.values.timeout)
    return 0
  })

async function reloadOne<F extends Flags>(
  it: Session<F>,
  keeper: KeeperUID,
  timeout: Millis,
): Promise<void> {
  const from = realClock.now().mono
  await wishAndWait(it, "reload", keeper, timeout, ({ infos }, nonce) =>
    infos.keepers.get(keeper)?.handled.includes(nonce) === true
      ? { kind: "done", value: null, line: "" }
      : { kind: "waiting", line: "" },
  )
  await print(`reloaded ${keeper} in ${since(from)}\n`)
}
