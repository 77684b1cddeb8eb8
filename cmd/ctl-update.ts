/**
 * `ctl update` and `ctl promote`: changes of the specification (reference 1.7).
 */
import { promoteCommand, updateCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import { promoteCluster, specChange, updateSpec } from "#ctl/edit.ts"
import { change } from "./ctl-change.ts"
import { Failure, session } from "./ctl-session.ts"
import { confirm, readText } from "./ctl-terminal.ts"

export const update = (invocation: Invocation): Promise<number> =>
  session(updateCommand, invocation, async (it) => {
    const [argument, ...more] = it.positionals
    const { file, patch, clusterSpec } = it.values
    if (more.length > 0) throw new Failure("too many arguments")
    if (argument !== undefined && clusterSpec !== "")
      throw new Failure(
        "the specification is given twice, as argument and with --cluster-spec; give it once",
      )
    const typed = argument ?? (clusterSpec === "" ? undefined : clusterSpec)
    if (typed === undefined && file === "")
      throw it.manner === "go"
        ? new Failure(
            "no cluster spec provided as argument and no file provided (--file/-f option)",
          )
        : new Failure("nothing to change; give SPEC, or --file FILE, or --patch with either", 2)
    if (typed !== undefined && file !== "")
      throw new Failure(
        it.manner === "go"
          ? "only one of cluster spec provided as argument or file must provided (--file/-f option)"
          : "the specification is given twice, as argument and with --file; give it once",
      )
    const text = typed ?? (await readText(file))
    await change(it, specChange(updateSpec(text, patch, it.manner), it.manner))
    return 0
  })

export const promote = (invocation: Invocation): Promise<number> =>
  session(promoteCommand, invocation, async (it) => {
    if (it.positionals.length > 0) throw new Failure("too many arguments")
    if (!it.values.yes && !it.values.dryRun && !(await confirm(it.manner === "go"))) return 0
    await change(it, specChange(promoteCluster(it.manner), it.manner))
    return 0
  })
