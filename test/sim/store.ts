/**
 * The Store port of one process: requests travel to the core and back through a network that
 * delays, loses and reorders them.
 *
 * A request may be lost on the way there (nothing happened), be applied with its answer lost, or be
 * applied long after its sender gave up. The sender learns the same in all three cases: nothing,
 * until its timeout. `write` then says `unknown`, everything else throws. This is the memory twin
 * of the real backends and must keep their contract, never a gentler one.
 */
import { type Leadership, type Store, StoreError } from "#port/store.ts"
import { virtual } from "./clock.ts"
import { createCore, type Core, type Session } from "./store-core.ts"
import { type Process, type World, storeName } from "./world.ts"

/** How the store and the way to it behave now; faults change it. */
export interface Weather {
  /** Refusing: an answer at once that it is not there. Hung: no answer at all. */
  state: "up" | "refusing" | "hung"
  /** One way, milliseconds, from … to. */
  slowest: number
  loseRequest: number
  loseReply: number
  /** Applied after the sender gave up. */
  late: number
  /** What is read cannot be decoded. */
  garbled: boolean
  /** Watchers of everything hear of an info at the latest after this. */
  news: number
}

export const calm = (): Omit<Weather, "news"> => ({
  state: "up",
  slowest: 8,
  loseRequest: 0,
  loseReply: 0,
  late: 0,
  garbled: false,
})

export interface SimStore {
  readonly core: Core
  readonly weather: Weather
  /** A write of an office's holder is sent, whose last read of the view began then. */
  readonly sent: ((process: Process, readAt: number) => void)[]
  /** All infos were read by this process. */
  readonly looked: ((process: Process) => void)[]
  /** The port as `process` sees it. */
  port(process: Process): Store
}

const requestTimeout = 5_000
const electionTtl = 5_000
const renewEvery = 1_600

export function createStore(world: World, honest: boolean): SimStore {
  const core = createCore(world.now, honest)
  const weather: Weather = { ...calm(), news: 8 }
  const watchers = new Set<Watcher>()
  const sent: SimStore["sent"] = []
  const looked: SimStore["looked"] = []
  core.listeners.changed.push((what) => {
    for (const watcher of watchers) {
      if (what === "clusterdata") wake(watcher, weather.slowest)
      else if (watcher.all) wake(watcher, weather.news)
    }
  })
  const wake = (watcher: Watcher, slowest: number): void => {
    if (watcher.pending) return
    watcher.pending = true
    world.at(world.between(1, slowest), watcher.process, () => deliver(watcher))
  }
  /**
   * A watcher that cannot be reached hears of the change once it can be: the client reconnects by
   * itself.
   */
  const deliver = (watcher: Watcher): void => {
    if (!watchers.has(watcher)) return
    if (weather.state === "up" && world.reaches(storeName, watcher.process.machine.name)) {
      watcher.pending = false
      watcher.changed()
    } else world.at(1_000, watcher.process, () => deliver(watcher))
  }
  return {
    core,
    weather,
    sent,
    looked,
    port: (process) => storeOf({ world, core, weather, watchers, process, sent, looked }),
  }
}

interface Watcher {
  readonly process: Process
  readonly all: boolean
  readonly changed: () => void
  pending: boolean
}

interface Context {
  readonly world: World
  readonly core: Core
  readonly weather: Weather
  readonly watchers: Set<Watcher>
  readonly process: Process
  readonly sent: SimStore["sent"]
  readonly looked: SimStore["looked"]
}

function storeOf(context: Context): Store {
  const { core, watchers, process } = context
  let readAt = -Infinity
  const ask = <T>(op: () => T, signal: AbortSignal): Promise<T> =>
    request(
      context,
      op,
      () => new StoreError("unavailable", "no answer from the store in time"),
      signal,
    )
  return {
    async read(signal) {
      readAt = context.world.now()
      const reading = await ask(() => core.read(), signal)
      if (context.weather.garbled)
        throw new StoreError("malformed", "cluster.spec: is missing or null")
      return reading
    },
    write: (data, expected, leadership, signal) => {
      if (leadership !== null) for (const tell of context.sent) tell(process, readAt)
      return request(
        context,
        () => core.write(data, expected, leadership?.token ?? null),
        () => ({ kind: "unknown", why: "no answer from the store in time" }),
        signal,
      )
    },
    publish: (what, ttl, signal) => ask(() => core.publish(what, ttl), signal),
    withdraw: (who, signal) => ask(() => core.withdraw(who), signal),
    async infos(signal) {
      const infos = await ask(() => core.infos(), signal)
      for (const tell of context.looked) tell(process)
      return infos
    },
    leader: (signal) => ask(() => core.leader(), signal),
    unseat: (uid, signal) => ask(() => core.unseat(uid), signal),
    campaign: (uid, signal) => campaign(context, uid, signal),
    watch: (what, changed, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve()
        const watcher = { process, all: what === "everything", changed, pending: false }
        watchers.add(watcher)
        const end = (): void => {
          watchers.delete(watcher)
          resolve()
        }
        process.onKill.push(() => watchers.delete(watcher))
        signal.addEventListener("abort", end, { once: true })
      }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/**
 * One request. `lost` makes what the caller gets when no answer came: a value, or an error to
 * throw.
 */
function request<T>(
  { world, weather, process }: Context,
  op: () => T,
  lost: () => T | Error,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    let over = false
    const abort = (): void => {
      over = true
      reject(signal.reason)
    }
    const end = (delay: number, answer: () => T | Error): void => {
      world.at(delay, process, () => {
        if (over) return
        over = true
        signal.removeEventListener("abort", abort)
        const result = answer()
        if (result instanceof Error) reject(result)
        else resolve(result)
      })
    }
    signal.addEventListener("abort", abort, { once: true })
    const give = (): void => end(virtual(process.machine, requestTimeout), lost)
    const there = world.between(1, weather.slowest)
    if (weather.state === "refusing")
      return end(there, () => new StoreError("unavailable", "connection refused"))
    const isGone = (): boolean =>
      weather.state === "hung" || !world.reaches(process.machine.name, storeName)
    const deliver = (): void => {
      if (world.chance(weather.late)) {
        world.at(world.between(requestTimeout / 2, requestTimeout * 2), null, op)
        return give()
      }
      world.at(there, null, () => {
        // A store that went away while the request travelled did not see it.
        if (weather.state !== "up") return give()
        const answer = op()
        const back =
          world.reaches(storeName, process.machine.name) && !world.chance(weather.loseReply)
        if (back) end(world.between(1, weather.slowest), () => answer)
        else give()
      })
    }
    // the adapter asks anew every second, and a member that was frozen reads what lies in its queue
    const insist = (): void => {
      if (over) return
      if (isGone()) world.at(1_000, process, insist)
      else deliver()
    }
    if (isGone()) {
      give()
      return void world.at(1_000, process, insist)
    }
    if (world.chance(weather.loseRequest)) return give()
    deliver()
  })
}

/**
 * Stands for election. The session is renewed by the process; when that fails for its whole time to
 * live, counted from the sending of the last renewal that was answered, the process gives the
 * office up by itself.
 */
function campaign(context: Context, uid: Session["uid"], signal: AbortSignal): Promise<Leadership> {
  const { world, core, weather, process } = context
  const { machine } = process
  const linked = (): boolean =>
    weather.state === "up" &&
    world.reaches(machine.name, storeName) &&
    world.reaches(storeName, machine.name)
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    if (!linked()) {
      world.at(requestTimeout, process, () => {
        if (!signal.aborted) reject(new StoreError("unavailable", "the election did not answer"))
      })
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
      return
    }
    const office = new AbortController()
    let over = false
    let answeredAt = world.now()
    const finish = (reason: Error): void => {
      if (over) return
      over = true
      office.abort(reason)
      reject(reason) // no effect once elected
    }
    const hear = (): void => {
      if (over || !linked()) return
      resolve({
        signal: office.signal,
        token: session.token,
        resign: resign(context, session, finish),
      })
    }
    const session: Session = {
      uid,
      token: `${uid}-${world.random.uid()}`,
      expiresAt: world.now() + electionTtl,
      closed: false,
      elected: () => void world.at(world.between(1, weather.slowest), process, hear),
    }
    const renew = (): void => {
      if (over) return
      const sentAt = world.now()
      const lost = linked() && !core.renew(session, electionTtl)
      if (linked() && !lost) answeredAt = sentAt
      if (lost || sentAt - answeredAt >= electionTtl)
        return finish(new StoreError("unavailable", "the election session was lost"))
      if (core.leads(session.token)) hear() // in case the word of it was lost on the way
      world.at(renewEvery, process, renew)
    }
    world.at(renewEvery, process, renew)
    signal.addEventListener(
      "abort",
      () => {
        if (!over && linked()) core.close(session)
        over = true
        office.abort(signal.reason)
        reject(signal.reason)
      },
      { once: true },
    )
    core.enter(session)
  })
}

const resign =
  (context: Context, session: Session, finish: (reason: Error) => void) =>
  async (signal: AbortSignal): Promise<void> => {
    finish(new Error("resigned"))
    const lost = (): Error => new StoreError("unavailable", "no answer from the store in time")
    await request(context, () => context.core.close(session), lost, signal)
  }
