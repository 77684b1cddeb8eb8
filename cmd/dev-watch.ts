/**
 * The eyes of `stolon dev`: reads the store as `ctl status` does, adds the pids that only this
 * machine knows, and tells the display what changed. It only looks; the cluster would run the same
 * without it.
 */
import { bell } from "#agent/loop.ts"
import { millis } from "#base/brand.ts"
import { keeperUID } from "#model/ids.ts"
import { news } from "#ctl/dev-news.ts"
import { type KeeperPids, type Part, type Scene, screen } from "#ctl/dev-screen.ts"
import { type Facts, facts } from "#ctl/status.ts"
import { colored, plain } from "#ctl/status-text.ts"
import type { Store } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import type { Child } from "./dev-children.ts"
import type { Display } from "./dev-display.ts"
import { localPids } from "./dev-pids.ts"
import { type Place, host, keeperDirectory, keeperName, superuser } from "./dev-place.ts"
import { canWrite } from "./dev-ready.ts"
import { text } from "./service.ts"

/** Between looks when nothing rings; and the shortest time between two. */
const pause = millis(1_000)
const gather = millis(100)

export interface Eyes {
  readonly place: Place
  readonly store: Store
  readonly children: readonly Child[]
  readonly display: Display
  /** `--cluster-name … --store-endpoints …` */
  readonly storeFlags: string
  readonly program: string
}

/** Looks until `signal` aborts. */
export async function watch(eyes: Eyes, signal: AbortSignal): Promise<void> {
  const wake = bell()
  const state: State = { facts: null, ready: false, announced: false, trouble: "" }
  // The bell alone is an optimisation: the pause below bounds how stale the table can be.
  const watching = eyes.store.watch("everything", () => wake.ring(), signal).catch(() => {})
  try {
    while (!signal.aborted) {
      await look(eyes, state, signal)
      await realClock.sleep(gather, signal)
      await wake.wait(realClock, state.ready ? pause : gather, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  await watching
}

interface State {
  facts: Facts | null
  ready: boolean
  announced: boolean
  trouble: string
}

async function look(eyes: Eyes, state: State, signal: AbortSignal): Promise<void> {
  const { display } = eyes
  try {
    const now = await read(eyes, signal)
    for (const { who, text: line } of news(state.facts, now)) display.tell(who, line)
    state.facts = now
    state.trouble = ""
  } catch (error) {
    signal.throwIfAborted()
    if (state.trouble !== text(error)) display.tell("store", text(error))
    state.trouble = text(error)
  }
  if (state.facts === null) return
  await judge(eyes, state, state.facts, signal)
  display.show(screen(scene(eyes, state, state.facts), display.terminal ? colored : plain))
}

async function read({ place, store }: Eyes, signal: AbortSignal): Promise<Facts> {
  const [reading, infos, leader] = await Promise.all([
    store.read(signal),
    store.infos(signal),
    store.leader(signal),
  ])
  const data = reading.kind === "found" ? reading.data : null
  return facts(place.clusterName, { data, infos, leader })
}

/**
 * Tries a write as soon as one may succeed; believes it until the view says that the gate is
 * closed.
 */
async function judge(
  { place, display }: Eyes,
  state: State,
  now: Facts,
  signal: AbortSignal,
): Promise<void> {
  const open = now.primary !== null && now.primary.gateOpen && !now.primary.revoked
  const before = state.ready
  state.ready = open && (state.ready || (await canWrite(place, signal)))
  if (before === state.ready) return
  if (!state.ready) return display.tell("cluster", "clients cannot write")
  display.tell("cluster", "clients can write")
  if (!state.announced) display.announce(`ready ${connection(place)}`)
  state.announced = true
}

/** Without a secret: libpq takes the password from the file. */
export const connection = (place: Place): string =>
  `postgresql://${superuser}@${host}:${place.port}/postgres?passfile=${place.passFile}`

function scene(eyes: Eyes, state: State, now: Facts): Scene {
  const { place } = eyes
  return {
    facts: now,
    keepers: new Map(
      place.keeperPorts.map((_, i) => [keeperUID(keeperName(i)), keeperPids(eyes, i)]),
    ),
    parts: parts(eyes, now),
    ready: state.ready,
    connection: connection(place),
    storeFlags: eyes.storeFlags,
    program: eyes.program,
    directory: place.directory,
  }
}

function parts({ children, place }: Eyes, now: Facts): readonly Part[] {
  const note = (name: string): string => {
    if (name === "proxy") return `${host}:${place.port}`
    return name === "etcd" ? `${host}:${place.etcdPorts[0]}` : ""
  }
  const others = children.filter(({ name }) => !name.startsWith("keeper"))
  const leader = now.leader === null ? [] : [{ name: "leader", pid: null, note: now.leader }]
  return [...others.map(({ name, pid }) => ({ name, pid, note: note(name) })), ...leader]
}

const keeperPids = ({ children, place }: Eyes, index: number): KeeperPids => ({
  keeper: children.find(({ name }) => name === keeperName(index))?.pid ?? null,
  ...localPids(keeperDirectory(place.directory, index)),
})
