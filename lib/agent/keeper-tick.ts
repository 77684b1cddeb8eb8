/**
 * One round of the keeper: read the view, look at the machine, plan, carry out the first step; then
 * look and plan again, until nothing is left or a long step runs beside.
 */
import { type Millis, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { sortedValues } from "#base/order.ts"
import { plan } from "#keeper/plan.ts"
import { asksOthers } from "#keeper/turn.ts"
import type { ClusterData } from "#model/cluster.ts"
import { event } from "#model/events.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Local } from "#model/local.ts"
import { withDefaults } from "#model/spec.ts"
import { steps } from "#model/step.ts"
import { validate } from "#model/validation.ts"
import { StoreError } from "#port/store.ts"
import { claimWait, claimed } from "./keeper-claim.ts"
import { noteDesired, noteLook } from "./keeper-lease.ts"
import { announce, look } from "./keeper-publish.ts"
import { type Keeper, type RoleName, fenceOf, settingsOf } from "./keeper-state.ts"
import { noteView, recall } from "./keeper-vows.ts"
import { begin, carryOut, giveUp, stillWanted } from "./keeper-work.ts"

/**
 * Several quick steps may follow from one read; a view older than this is read again before the
 * next.
 */
const viewAge = 200
const retryPause = millis(1_000)
const pauseMin = millis(10)

export async function tick(keeper: Keeper, signal: AbortSignal): Promise<void> {
  await readView(keeper, signal)
  if (keeper.trouble !== "") return await onlyLook(keeper, signal)
  if (keeper.claim.kind !== "mine" && !(await mayAct(keeper, signal))) return
  const { work } = keeper
  if (work !== null && stillWanted(keeper, work, viewOf(keeper))) {
    keeper.local = await look(keeper, signal)
    noteLook(keeper, keeper.local)
    return
  }
  await giveUp(keeper)
  while (await act(keeper, signal)) {
    announce(keeper)
    const age = keeper.ports.clock.now().mono - (keeper.view?.readAt ?? 0)
    if (age > viewAge) await readView(keeper, signal)
    if (keeper.trouble !== "") return
  }
}

/** PostgreSQL stays as it is (K1); whether it still takes writes is the guardian's business too. */
async function onlyLook(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const local = await look(keeper, signal)
  if (keeper.work === null) keeper.local = local
  noteLook(keeper, local)
}

/** Whether the uid is ours; when the store does not say, that is not known. */
async function mayAct(keeper: Keeper, signal: AbortSignal): Promise<boolean> {
  keeper.local = await look(keeper, signal)
  noteLook(keeper, keeper.local)
  try {
    return await claimed(keeper, keeper.local, signal)
  } catch (error) {
    if (signal.aborted || !(error instanceof StoreError)) throw error
    return false
  }
}

/** One look, one plan, one step. False when there is nothing more to do now. */
async function act(keeper: Keeper, signal: AbortSignal): Promise<boolean> {
  const { clock, log } = keeper.ports
  const local = await look(keeper, signal)
  keeper.local = local
  noteLook(keeper, local)
  recall(keeper, local)
  const others = await othersOf(keeper, local, signal)
  const planned = plan(
    {
      view: viewOf(keeper),
      local,
      settings: settingsOf(keeper),
      ...others,
      fence: fenceOf(keeper),
    },
    keeper.memory,
    clock.now().mono,
  )
  tell(keeper, planned)
  keeper.plan = planned
  keeper.desired = planned.desired
  keeper.memory = planned.memory
  noteDesired(keeper)
  for (const happened of planned.events) log.event(happened)
  const [step] = planned.steps
  if (step === undefined) {
    keeper.failing = false
    if (planned.desired.kind === "run" && planned.blocked === null)
      keeper.syncTime = clock.now().wall
    return false
  }
  if (!steps[step.kind].long) {
    if (!(await carryOut(keeper, step, signal))) return false
    const [, next] = planned.steps
    // nothing that a look could find comes between a file and PostgreSQL's reading it
    const goesOn = step.kind === "write-config" && next?.kind === "reload"
    return !goesOn || carryOut(keeper, next, signal)
  }
  begin(keeper, step, { local, memory: planned.memory })
  return false
}

/** What the others publish, where the plan has use for it; nothing when it cannot be read. */
async function othersOf(
  keeper: Keeper,
  local: Local,
  signal: AbortSignal,
): Promise<{ readonly others?: readonly KeeperInfo[] }> {
  if (!asksOthers(viewOf(keeper), local)) return {}
  try {
    const { keepers } = await keeper.ports.store.infos(signal)
    return { others: sortedValues(keepers) }
  } catch (error) {
    if (signal.aborted || !(error instanceof StoreError)) throw error
    return {}
  }
}

const viewOf = ({ view }: Keeper): ClusterData | null => view?.data ?? null

/** Reads the view, or notes why it cannot be used; each reason is said once. */
async function readView(keeper: Keeper, signal: AbortSignal): Promise<void> {
  const { store, clock, log } = keeper.ports
  const readAt = clock.now().mono
  const trouble = (code: Trouble, error: string): void => {
    if (keeper.trouble !== error) log.event(event(code, { error }))
    keeper.trouble = error
    keeper.storeFailed = code === "store.failed"
    // nobody knows what the store would have said meanwhile (W6, D-19)
    keeper.memory = { ...keeper.memory, orphanSince: null }
  }
  try {
    const reading = await store.read(signal)
    keeper.heard = readAt
    if (keeper.storeFailed) log.event(event("store.recovered"))
    keeper.storeFailed = false
    take(keeper, reading.kind === "found" ? reading.data : null, readAt, trouble)
  } catch (error) {
    if (signal.aborted || !(error instanceof StoreError)) throw error
    const unusable = error.code === "malformed" || error.code === "format"
    trouble(unusable ? "view.malformed" : "store.failed", error.message)
  }
}
type Trouble = "store.failed" | "view.malformed" | "view.invalid"

function take(
  keeper: Keeper,
  data: ClusterData | null,
  readAt: Millis,
  trouble: (code: Trouble, error: string) => void,
): void {
  const { clock, log } = keeper.ports
  const broken = data === null ? null : validate(data.cluster.spec)
  if (broken !== null) return trouble("view.invalid", broken)
  keeper.trouble = ""
  const known = keeper.view !== null && keeper.view.data === null
  if (data === null && !known) log.event(event("view.absent"))
  keeper.view = { data, readAt }
  noteView(keeper, data, readAt)
  keeper.viewTime = clock.now().wall
  if (data === null) return
  const spec = withDefaults(data.cluster.spec)
  keeper.sleepInterval = millis(Math.max(pauseMin, toMillis(spec.sleepInterval)))
  keeper.failInterval = millis(Math.max(pauseMin, toMillis(spec.failInterval)))
}

/** Says what comes next when that is something else than what was said to come. */
function tell(keeper: Keeper, planned: NonNullable<Keeper["plan"]>): void {
  const text = planned.steps.map(({ kind }) => kind).join(", ")
  const expected = (keeper.plan?.steps ?? []).map(({ kind }) => kind).join(", ")
  if (text === "" || expected === text || expected.endsWith(`, ${text}`)) return
  keeper.ports.log.event(event("plan.changed", { steps: text }))
}

/** Until the next round, if nothing wakes it. */
export function pauseOf(keeper: Keeper): Millis {
  const { plan: planned, sleepInterval, failing, ports, work } = keeper
  if (keeper.claim.kind !== "mine" && keeper.local !== null) return claimWait(keeper, keeper.local)
  const wake = planned?.wake ?? null
  const until = wake === null || work !== null ? sleepInterval : wake - ports.clock.now().mono
  const pause = Math.min(sleepInterval, until, failing ? retryPause : sleepInterval)
  return millis(Math.max(pauseMin, pause))
}

/** After each round, however it went. */
export function report(keeper: Keeper): void {
  const { options, local, plan: planned, desired, viewTime, syncTime, sleepInterval } = keeper
  const next = planned?.steps[0]?.kind
  options.report({
    lastView: viewTime,
    targetRole:
      desired === null
        ? null
        : desired.kind === "run"
          ? roleName(desired.db.spec.role)
          : "undefined",
    localRole: localRole(local),
    needsReload: next === "write-config" || next === "reload",
    needsRestart: local?.server.kind === "up" && local.server.pendingRestart,
    lastSync: syncTime,
    sleepInterval,
  })
}

const roleName = (role: string): RoleName =>
  role === "master" || role === "standby" ? role : "undefined"
const localRole = (local: Local | null): RoleName =>
  local?.data.kind === "initialized" ? local.data.role : "undefined"
