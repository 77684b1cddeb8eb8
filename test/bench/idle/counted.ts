/**
 * The executable with a counter in it (`counter.ts`). The commands are those of `cmd/stolon.ts`,
 * unchanged.
 */
import { dispatch } from "#cmd/stolon.ts"
import { countTransactions } from "./counter.ts"

countTransactions()
process.exit(await dispatch(process.argv0, process.argv.slice(2)))
