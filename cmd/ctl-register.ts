/**
 * `ctl register`: its flags are checked as Go checks them; then it says what is missing, since who
 * asks Consul comes with the Consul store. What would be registered it can tell already
 * (`--dry-run`; decided in `lib/ctl/register.ts`).
 */
import { checkRegister, registerCommand } from "#cli/register.ts"
import type { Invocation } from "#cli/invocation.ts"
import { registration, requestOf } from "#ctl/register.ts"
import { Failure, current, session } from "./ctl-session.ts"
import { print, warn } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(registerCommand, invocation, async (it) => {
    const checked = checkRegister(it.values, it.dialect)
    if (checked.kind === "refused") throw new Failure(checked.message)
    if (!it.values.dryRun)
      throw new Failure(
        "register needs the client of Consul, which is not in this version; it comes with the store backend consul",
      )
    const { data } = await current(it)
    const wish = { clusterName: it.values.clusterName, ...checked.choice }
    const { changes, skipped } = registration(data, wish, [])
    for (const { id, why } of skipped) await warn(`${id} is left out: ${why}\n`)
    const lines = changes
      .map(requestOf)
      .map(({ method, path, body }) => `${method} ${path} ${body}\n`)
    await print(lines.join(""))
    return 0
  })
