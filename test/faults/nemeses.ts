/** All faults in one list; what each is stands in its own file. */
import { clocks } from "./clocks.ts"
import { disks } from "./disks.ts"
import type { Nemesis } from "./nemesis.ts"
import { partitions } from "./partitions.ts"
import { processNemeses } from "./processes.ts"
import { switchovers } from "./switchovers.ts"

export const nemeses: readonly Nemesis[] = [
  ...processNemeses,
  ...partitions,
  ...disks,
  ...clocks,
  ...switchovers,
]

/** Those that any row may run. */
export const ordinary: readonly Nemesis[] = nemeses.filter(({ named }) => named !== true)
