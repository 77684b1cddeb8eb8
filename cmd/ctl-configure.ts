/**
 * `ctl configure KEY=VALUE…`: shows what changes in the specification, then writes it, by the same
 * edit as `update --patch`.
 */
import { configureCommand } from "#cli/ctl-verbs.ts"
import type { Invocation } from "#cli/invocation.ts"
import { configure } from "#ctl/configure.ts"
import { specDiff } from "#ctl/diff.ts"
import { specChange, updateSpec } from "#ctl/edit.ts"
import { change } from "./ctl-change.ts"
import { Failure, current, session } from "./ctl-session.ts"
import { agreed } from "./ctl-terminal.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(configureCommand, invocation, async (it) => {
    const wanted = configure(it.positionals)
    if (wanted.kind === "refused") throw new Failure(wanted.message, 2)
    const patch = specChange(updateSpec(wanted.text, true, it.manner), it.manner)
    const { data } = await current(it)
    const edited = patch.edit(data)
    if (edited.kind !== "edited") throw new Failure(edited.message)
    const lines = specDiff(data.cluster.spec, edited.data.cluster.spec)
    await print(lines === "" ? "nothing changes\n" : lines)
    if (it.values.dryRun || lines === "") return 0
    if (!(await agreed(it.values))) return 0
    await change(it, patch)
    return 0
  })
