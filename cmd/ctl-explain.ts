/**
 * `stolon ctl explain`: reads the store once and prints what the leader thinks of it. The thoughts
 * are the sentinel's own (`lib/sentinel/explain.ts`), the layout is `lib/ctl/explain-text.ts`.
 */
import { explainCommand } from "#cli/ctl-moves.ts"
import type { Invocation } from "#cli/invocation.ts"
import { explainJson, explainText } from "#ctl/explain-text.ts"
import { facts } from "#ctl/status.ts"
import { colored, plain } from "#ctl/status-text.ts"
import { explanation } from "#sentinel/explain.ts"
import { current, session } from "./ctl-session.ts"
import { known } from "./ctl-wish.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(explainCommand, invocation, async (it) => {
    await current(it) // data that break a rule are told as such; no leader would look at them
    const found = await known(it)
    const thoughts = explanation(found.data, found.infos, found.leader)
    const told = facts(it.choice.clusterName, found)
    if (it.values.format === "json") {
      await print(explainJson(told, thoughts))
      return 0
    }
    const paint = process.stdout.isTTY && !process.env["NO_COLOR"] ? colored : plain
    await print(explainText(told, thoughts, paint))
    return 0
  })
