/**
 * `ctl spec`: prints the specification, as stored or with every default filled in. What is shown
 * and in which order is in `lib/ctl/spec-print.ts`; Go's bytes in both dialects.
 */
import { specCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import { specShown, specWithDefaults } from "#ctl/spec-print.ts"
import { current, session } from "./ctl-session.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(specCommand, invocation, async (it) => {
    const { spec } = (await current(it)).data.cluster
    await print(it.values.defaults ? specWithDefaults(spec) : specShown(spec))
    return 0
  })
