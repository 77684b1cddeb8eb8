/**
 * The leader of a process group that holds one command and all its helpers: the part of `stolon
 * launch --keep` that stays.
 *
 * It exists because a keeper killed with SIGKILL cannot clean up, and pg_basebackup's second
 * process, a restore script's pipeline or initdb's `postgres --boot` would go on writing into a
 * data directory that the next keeper is about to use (D-18). It must end only when nothing of the
 * group is left, and must never outlive an order to end by more than the grace.
 */
import { constants } from "node:os"
import { childEnvironment, selfCommand } from "./self.ts"
import { isAlive, type Process, processes, signalProcess, withDescendants } from "./process.ts"

/**
 * Runs `command` in this process's group (of which this process must be the leader) and resolves
 * with the exit code to end with, once the command and everything that it started are gone. SIGTERM
 * and SIGINT go to the whole group; `graceMs` later what is left is killed.
 */
export async function keepGroup(command: readonly string[], graceMs: number): Promise<number> {
  let told = false
  const end = (signal: NodeJS.Signals): void => {
    if (told) return
    told = true
    for (const member of members()) signalProcess(member, signal)
    setTimeout(() => kill(), graceMs)
  }
  process.on("SIGTERM", () => end("SIGTERM"))
  process.on("SIGINT", () => end("SIGINT"))
  // Should this process itself be killed, at least the command goes with it.
  const launch = ["launch", "--pdeathsig", "SIGKILL", "--parent", String(process.pid), "--"]
  const child = Bun.spawn([...selfCommand(), ...launch, ...command], {
    stdio: ["inherit", "inherit", "inherit"],
    env: childEnvironment(),
  })
  if (told) child.kill("SIGTERM") // the order came before there was anybody to hand it to
  await child.exited
  await finish(told ? graceMs : 0)
  const { signalCode } = child
  if (signalCode === null) return child.exitCode ?? 1
  return 128 + (typeof signalCode === "number" ? signalCode : constants.signals[signalCode])
}

/**
 * Waits `graceMs` for helpers that the command left behind, then kills them, again until none is
 * left.
 */
async function finish(graceMs: number): Promise<void> {
  const end = performance.now() + graceMs
  for (let left = members(); left.length > 0; left = members()) {
    if (performance.now() >= end) kill()
    await Bun.sleep(10)
  }
}

const kill = (): void => {
  for (const member of members()) signalProcess(member, "SIGKILL")
}

/**
 * Everything that descends from us: we are their subreaper, so nobody escapes by losing its parent.
 */
function members(): readonly Process[] {
  const all = processes()
  const family = withDescendants(all, (each) => each.pid === process.pid)
  return family.filter((each) => each.pid !== process.pid && isAlive(each))
}
