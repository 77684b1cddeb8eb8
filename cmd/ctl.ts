/**
 * `stolon ctl` and `stolonctl`: finds the subcommand and loads it. What the subcommands decide is
 * in `lib/ctl`; here and in `ctl-*.ts` is what they read, ask and print.
 */
import { choose } from "#cli/ctl-tree.ts"
import type { Invocation, Main } from "#cli/invocation.ts"
import { goVersionLine, versionLine } from "#cli/release.ts"
import { begin, print, wallTime, warn } from "./front.ts"
import { release } from "./release.ts"

const subcommands: ReadonlyMap<string, () => Promise<Main>> = new Map([
  ["init", async () => (await import("./ctl-init.ts")).main],
  ["status", async () => (await import("./ctl-status.ts")).main],
  ["spec", async () => (await import("./ctl-spec.ts")).main],
  ["update", async () => (await import("./ctl-update.ts")).update],
  ["promote", async () => (await import("./ctl-update.ts")).promote],
  ["failkeeper", async () => (await import("./ctl-keeper.ts")).fail],
  ["removekeeper", async () => (await import("./ctl-keeper.ts")).remove],
  ["switchover", async () => (await import("./ctl-switchover.ts")).main],
  ["failover", async () => (await import("./ctl-failover.ts")).main],
  ["explain", async () => (await import("./ctl-explain.ts")).main],
  ["configure", async () => (await import("./ctl-configure.ts")).main],
  ["pause", async () => (await import("./ctl-pause.ts")).pause],
  ["resume", async () => (await import("./ctl-pause.ts")).resume],
  ["restart", async () => (await import("./ctl-restart.ts")).restart],
  ["reload", async () => (await import("./ctl-restart.ts")).reload],
  ["reclone", async () => (await import("./ctl-reclone.ts")).main],
  ["register", async () => (await import("./ctl-register.ts")).main],
  ["store migrate", async () => (await import("./ctl-store.ts")).migrate],
  ["clusterdata read", async () => (await import("./ctl-clusterdata.ts")).read],
  ["clusterdata write", async () => (await import("./ctl-clusterdata.ts")).write],
  ["version", async () => version],
])

export async function main(invocation: Invocation): Promise<number> {
  const choice = choose(invocation, release, wallTime())
  if (choice.kind === "stop") {
    await warn(choice.stderr)
    await print(choice.stdout)
    return choice.exit
  }
  const load = subcommands.get(choice.path)
  if (load === undefined) throw new Error(`no module for ctl ${choice.path}`)
  return (await load())(choice.invocation)
}

async function version(invocation: Invocation): Promise<number> {
  const { ctlVersionCommand } = await import("#cli/ctl.ts")
  const begun = await begin(ctlVersionCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const go = invocation.dialect === "go"
  await print(go ? goVersionLine("stolonctl", release) : versionLine(release))
  return 0
}
