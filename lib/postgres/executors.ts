/**
 * The table of steps: one function for each kind. A kind without one does not compile.
 *
 * Executors are idempotent: done twice, after a crash in between or a lost answer, the result is
 * the same. They throw when they fail; the plan looks at the machine again and decides anew.
 */
import type { Step, StepKind } from "#model/step.ts"
import { clone } from "./clone.ts"
import { detach } from "./detach.ts"
import { prepare, writeConfig } from "./config.ts"
import { discardData, discardSide, removeAsides, setAside, swapIn } from "./directories.ts"
import { saveDivergentWal } from "./divergent.ts"
import { initdb, restore } from "./initialise.ts"
import { checkpoint, promote, start, stop, waitReady, waitRecovered } from "./process.ts"
import { proveSync } from "./prove.ts"
import { reload } from "./reload.ts"
import { rewind } from "./rewind.ts"
import type { Job } from "./settings.ts"
import { checkRoles, createRoles } from "./roles.ts"
import { captureParameters, createSlot, dropSlot, endSessions } from "./sql.ts"
import { certify, mark, saveDB, saveFencing, saveHandled, saveKeeper, unmark } from "./state.ts"

type Executors = {
  readonly [K in StepKind]: (step: Extract<Step, { kind: K }>, job: Job) => Promise<void>
}

const executors: Executors = {
  "save-keeper": saveKeeper,
  "save-db": saveDB,
  mark,
  unmark,
  stop,
  "discard-side": discardSide,
  "discard-data": discardData,
  "set-aside": setAside,
  "remove-asides": removeAsides,
  initdb,
  restore,
  clone,
  "swap-in": swapIn,
  "save-divergent-wal": saveDivergentWal,
  rewind,
  "write-config": writeConfig,
  prepare,
  start,
  "wait-ready": waitReady,
  "wait-recovered": waitRecovered,
  "create-roles": createRoles,
  "check-roles": checkRoles,
  "capture-parameters": captureParameters,
  promote,
  "end-sessions": endSessions,
  "prove-sync": proveSync,
  reload,
  "create-slot": createSlot,
  "drop-slot": dropSlot,
  certify,
  "save-fencing": saveFencing,
  detach,
  checkpoint,
  "save-handled": saveHandled,
}

const dispatch = <K extends StepKind>(
  kind: K,
  step: Extract<Step, { kind: K }>,
  job: Job,
): Promise<void> => executors[kind](step, job)

/** Carries one step out. */
export const execute = (step: Step, job: Job): Promise<void> => dispatch(step.kind, step, job)
