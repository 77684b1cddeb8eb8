/**
 * The sentinel's loop: read, watch, and when leading decide and write. It decides nothing itself.
 *
 * Every sentinel reads all the time, so that its memory is warm when it becomes the leader. A
 * decision is sent only while its snapshot is young (W4); memory and events of the deciding part
 * move only when the write was committed, and a write without an answer is recognised by its nonce
 * at the next read (W5).
 */
import { type Millis, type Time, millis } from "#base/brand.ts"
import { toMillis } from "#base/duration.ts"
import { generator } from "#base/random.ts"
import { type ClusterData, newClusterData } from "#model/cluster.ts"
import { type Event, event } from "#model/events.ts"
import {
  type InfoUID,
  type KeeperUID,
  type Nonce,
  type SentinelUID,
  infoUID,
  newCluster,
} from "#model/ids.ts"
import { type Infos, type SentinelInfo, capabilities } from "#model/info.ts"
import { type Spec, defaults, withDefaults } from "#model/spec.ts"
import { validate } from "#model/validation.ts"
import type { Chance, Clock } from "#port/clock.ts"
import type { Log } from "#port/log.ts"
import type { PeerEndpoint, Peers } from "#port/peer.ts"
import type { Leadership, Reading, Store, Version } from "#port/store.ts"
import { type Decision, decide } from "#sentinel/decide.ts"
import { type Memory, emptyMemory, interrupt, watch } from "#sentinel/memory.ts"
import { rolesOf } from "#sentinel/roles.ts"
import { type Bell, aborted, bell, forever } from "./loop.ts"
import { noEndpoint, noPeers } from "./no-peers.ts"
import { type Eyes, eyes } from "./sentinel-doors.ts"

export interface SentinelPorts {
  readonly store: Store
  readonly clock: Clock
  readonly chance: Chance
  readonly log: Log
  /** Absent: nothing is seen but what stands in the store. */
  readonly peers?: Peers
  readonly endpoint?: PeerEndpoint
}

export interface SentinelOptions {
  readonly uid: SentinelUID
  /** `--initial-cluster-spec`: written when there is no cluster data at all. */
  readonly initialSpec: Spec | null
  /** Hears what metrics and health checks show. */
  readonly report: (state: SentinelState) => void
}

export interface SentinelState {
  readonly leader: boolean
  /** How often this sentinel was elected. */
  readonly elections: number
  /** Wall-clock time of the last complete check as leader; null before. */
  readonly lastCheck: Time | null
}

/**
 * Waking up for every info would multiply the reads: changes this close together are one, the more
 * so the more there are who publish, and with a follower, who has nothing to decide.
 */
const gatherPause = (published: number): Millis => millis(Math.max(20, published))
const followPause = millis(200)
const electionPause = millis(1_000)
const nudgeBound = millis(500)
const announceBound = millis(1_000)
/** A sleepInterval of nothing is allowed; a read and a decision take their time all the same. */
const ageFloor = 500
const infoTtl = (sleepInterval: Millis): Millis => millis(Math.max(20_000, 2 * sleepInterval))

/** Runs until `signal` aborts; then gives the office back and resolves. */
export async function runSentinel(
  ports: SentinelPorts,
  options: SentinelOptions,
  signal: AbortSignal,
): Promise<void> {
  const wake = bell()
  const hurry = bell()
  const office: Office = { held: null, elections: 0, lastCheck: null }
  const { clock, endpoint = noEndpoint, peers = noPeers } = ports
  let news = false
  const looking = eyes(
    { ...ports, peers },
    {
      uid: options.uid,
      leads: () => office.held !== null,
      tell: () => {
        news = true
        wake.ring()
        hurry.ring()
      },
    },
  )
  const hasNews = (): boolean => {
    const had = news
    news = false
    return had
  }
  const check = checker({ ...ports, peers, endpoint }, options, office, { looking, hasNews })
  endpoint.answer({ nudge: () => wake.ring() })
  await Promise.all([
    campaign(ports, options, office, { wake, hurry }, signal),
    ports.store.watch("everything", () => wake.ring(), signal).catch(() => undefined),
    ...(endpoint.address === "" ? [] : [looking.run(signal)]),
    forever(
      () => check.round(signal),
      async () => {
        if (office.held !== null) await clock.sleep(gatherPause(check.published()), signal)
        else await hurry.wait(clock, followPause, signal)
        await wake.wait(clock, check.pause(), signal)
      },
      ports.log,
      signal,
    ),
  ])
}

/** Shared by the two activities: the campaign sets it, the check uses it. */
interface Office {
  held: Leadership | null
  elections: number
  lastCheck: Time | null
}

/** Stands for election again and again; losing the office is one event, whatever the reason. */
async function campaign(
  { store, clock, log }: SentinelPorts,
  { uid, report }: SentinelOptions,
  office: Office,
  { wake, hurry }: { readonly wake: Bell; readonly hurry: Bell },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const leadership = await store.campaign(uid, signal)
      office.held = leadership
      office.elections++
      log.event(event("leader.elected", { sentinel: uid }))
      report({ leader: true, elections: office.elections, lastCheck: office.lastCheck })
      wake.ring()
      hurry.ring()
      await aborted(AbortSignal.any([leadership.signal, signal]))
      office.held = null
      report({ leader: false, elections: office.elections, lastCheck: office.lastCheck })
      if (signal.aborted)
        return await leadership.resign(clock.deadline(electionPause, new AbortController().signal))
      log.event(event("leader.lost", { sentinel: uid }))
    } catch (error) {
      if (signal.aborted) return
      log.event(
        event("election.failed", { error: error instanceof Error ? error.message : String(error) }),
      )
      await clock.sleep(electionPause, signal).catch(() => undefined)
    }
  }
}

/** A write whose answer did not come: what to adopt when the next read shows its nonce. */
interface Unanswered {
  readonly nonce: Nonce
  readonly memory: Memory
  readonly events: readonly Event[]
}

interface Checker {
  round(signal: AbortSignal): Promise<void>
  /** Until the next round, if nothing wakes it. */
  pause(): Millis
  /** How many infos there were at the last look. */
  published(): number
}

/** What is seen past the store. */
interface Sight {
  readonly looking: Eyes
  /** True once after each find. */
  readonly hasNews: () => boolean
}

/** Each word that is waited for is asked for once; the next one comes with the next word. */
function nudger({ peers, clock }: Required<SentinelPorts>) {
  const asked = new Map<KeeperUID, InfoUID>()
  return (awaited: Decision["awaited"], infos: Infos, signal: AbortSignal): void => {
    for (const uid of awaited) {
      const info = infos.keepers.get(uid)
      if (info === undefined || info.peerAddress === "" || asked.get(uid) === info.infoUID) continue
      asked.set(uid, info.infoUID)
      void peers.nudge(info.peerAddress, clock.deadline(nudgeBound, signal))
    }
  }
}

/** Refreshes what this sentinel says of itself, at once when there is news. */
function publisher(
  { store, clock, chance, endpoint }: Required<SentinelPorts>,
  uid: SentinelUID,
  { looking, hasNews }: Sight,
) {
  let published: Millis | null = null
  return async (sleepInterval: Millis, signal: AbortSignal): Promise<void> => {
    const { mono } = clock.now()
    if (!hasNews() && published !== null && mono - published < sleepInterval) return
    published = null
    const info: SentinelInfo = {
      UID: uid,
      infoUID: infoUID(chance.uid()),
      capabilities: [
        capabilities.pause,
        capabilities.move,
        capabilities.promise,
        ...(endpoint.address === "" ? [] : [capabilities.evidence]),
      ],
      peerAddress: endpoint.address,
      evidence: looking.found(),
    }
    await store.publish({ kind: "sentinel", info }, infoTtl(sleepInterval), signal)
    published = mono
  }
}

/** Labels for clients where the platform has them; no failover waits for them long. */
async function announce(
  { store, clock, log }: Required<SentinelPorts>,
  view: ClusterData,
  held: Leadership,
  patience: Millis,
  signal: AbortSignal,
): Promise<void> {
  if (store.announce === undefined) return
  try {
    await store.announce(rolesOf(view), held, clock.deadline(patience, signal))
  } catch (error) {
    signal.throwIfAborted()
    const why = error instanceof Error ? error.message : String(error)
    log.event(event("store.failed", { error: `labels that name the primary: ${why}` }))
  }
}

function checker(
  ports: Required<SentinelPorts>,
  options: SentinelOptions,
  office: Office,
  sight: Sight,
): Checker {
  const { store, clock, chance, log } = ports
  const { looking } = sight
  const publish = publisher(ports, options.uid, sight)
  let memory: Memory = emptyMemory
  let unanswered: Unanswered | null = null
  let sleepInterval = toMillis(defaults.sleepInterval)
  let broken = ""
  let due: Millis | null = null
  let published = 0
  const nudge = nudger(ports)

  async function look(signal: AbortSignal): Promise<Infos> {
    const infos = await store.infos(signal)
    published = infos.keepers.size + infos.sentinels.size + infos.proxies.size
    return infos
  }

  /**
   * The unanswered write was applied when its nonce is in the document; otherwise it was not, or is
   * overwritten.
   */
  function settleUnanswered(data: ClusterData): void {
    if (unanswered !== null && data.cluster.status.writer === unanswered.nonce) {
      const { failedInit, said, writtenAt } = unanswered.memory
      memory = { ...memory, failedInit, said, writtenAt }
      for (const e of unanswered.events) log.event(e)
    }
    unanswered = null
  }

  async function lead(
    data: ClusterData,
    version: Version,
    started: Millis,
    held: Leadership,
    signal: AbortSignal,
  ): Promise<void> {
    const infos = await look(signal)
    for (const { key, error } of infos.broken) log.event(event("info.malformed", { key, error }))
    // where every round is slow, a round like the others is no pause of this process (W4)
    const ageMax = Math.max(sleepInterval, ageFloor, memory.pace)
    looking.note(data, infos)
    memory = watch(memory, { data, infos }, clock.now())
    const decision = decide({ data, infos }, memory, clock.now(), chance.seed())
    due = decision.wake
    nudge(decision.awaited, infos, signal)
    const { output } = decision
    if (output.kind === "broken") return refuse(output.rules.join("; "))
    broken = ""
    // before the gate opens; what this took counts as the snapshot's age
    const view = output.kind === "write" ? output.data : data
    await announce(ports, view, held, millis(Math.min(announceBound, ageMax / 2)), signal)
    if (output.kind === "write") {
      if (clock.now().mono - started > ageMax || held.signal.aborted)
        return log.event(event("write.late", { age: clock.now().mono - started }))
      const written = await store.write(output.data, { kind: "version", version }, held, signal)
      if (written.kind === "unknown") {
        unanswered = { nonce: output.nonce, memory: decision.memory, events: decision.events }
        return log.event(event("write.unknown", { why: written.why }))
      }
      if (written.kind === "conflict") return log.event(event("write.conflict"))
    }
    memory = decision.memory
    for (const e of decision.events) log.event(e)
    office.lastCheck = clock.now().wall
    options.report({ leader: true, elections: office.elections, lastCheck: office.lastCheck })
  }

  /** A document that nobody corrects is refused in every round, and said once (D-23). */
  function refuse(rules: string): void {
    if (rules !== broken) log.event(event("invariant.broken", { rules }))
    broken = rules
  }

  async function usable(
    reading: Reading,
    signal: AbortSignal,
  ): Promise<(Reading & { kind: "found" }) | null> {
    if (reading.kind === "absent") {
      if (options.initialSpec !== null && reading.version === null)
        await create(options.initialSpec, signal)
      else log.event(event("view.absent"))
      return null
    }
    const rule = validate(reading.data.cluster.spec)
    if (rule === null) return reading
    log.event(event("view.invalid", { rule }))
    return null
  }

  async function create(spec: Spec, signal: AbortSignal): Promise<void> {
    const uid = newCluster(generator(chance.seed()))
    await store.write(newClusterData(uid, spec, clock.now().wall), { kind: "absent" }, null, signal)
  }

  return {
    published: () => published,
    pause() {
      if (due === null || office.held === null) return sleepInterval
      return millis(Math.max(0, Math.min(sleepInterval, due - clock.now().mono)))
    },
    async round(signal) {
      const started = clock.now().mono
      due = null
      try {
        const found = await usable(await store.read(signal), signal)
        if (found === null) return
        sleepInterval = toMillis(withDefaults(found.data.cluster.spec).sleepInterval)
        settleUnanswered(found.data)
        await publish(sleepInterval, signal)
        const { held } = office
        if (held !== null) return await lead(found.data, found.version, started, held, signal)
        const infos = await look(signal)
        looking.note(found.data, infos)
        memory = watch(memory, { data: found.data, infos }, clock.now())
      } catch (error) {
        memory = interrupt(memory) // whoever is silent now may be silent only to us (W6)
        throw error
      }
    },
  }
}
