/**
 * Election by one record in the cluster's ConfigMap, by client-go's rules (reference 3.5): take it
 * when it is free or has not changed for its length, renew it while leading, leave when the
 * renewals fail. Every change compares the object's version, so two can never take it together.
 *
 * Safety does not rest on it (D4): a write of the cluster data compares the holder in the very
 * object that it writes (D-87). Who cannot do a leader's work does not stand, and does not stay
 * (D-88).
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { type Leadership, StoreError } from "#port/store.ts"
import { type Bell, bell, electionTtl, giveBack, hold } from "./election.ts"
import type { Kube } from "./kube-client.ts"
import type { Able } from "./kube-able.ts"
import { announcerOf } from "./kube-events.ts"
import type { Changed } from "./kube-follow.ts"
import {
  type KubeObject,
  type Place,
  annotation,
  editMap,
  getMap,
  leaderAnnotation,
} from "./kube-objects.ts"
import {
  type LeaderRecord,
  goLease,
  leaseOf,
  parseRecord,
  recordText,
  recordTime,
  released,
  termOf,
} from "./kube-record.ts"
import { linked, message, within } from "./scope.ts"

export interface Office {
  readonly kube: Kube
  readonly place: Place
  readonly able: Able
  /** Calls `changed` when the record may have changed. */
  watch(changed: Changed, signal: AbortSignal): Promise<void>
}

/** The record in an object; "" where there is none. */
const recordIn = (object: KubeObject | null): string => annotation(object, leaderAnnotation) ?? ""

/** True while the term that `token` names stands in `object`. */
export function stands(object: KubeObject | null, token: string): boolean {
  const record = parseRecord(recordIn(object))
  return record !== null && record.holder !== "" && termOf(record) === token
}

/**
 * Who holds the office. A record is never removed, so one that was not renewed for long is
 * nobody's; by the server's clock and generously, since the time in it is the holder's.
 */
export async function holder(
  { kube, place }: Pick<Office, "kube" | "place">,
  signal: AbortSignal,
): Promise<string | null> {
  const record = parseRecord(recordIn(await getMap(kube, place, signal)))
  if (record === null || record.holder === "") return null
  const renewed = Date.parse(record.renewed)
  const now = kube.serverNow()
  const known = now !== null && !Number.isNaN(renewed)
  return known && now - renewed > leaseOf(record) + goLease ? null : record.holder
}

/** Takes the office from `uid`, from exactly the term that it found. */
export async function unseat(
  { kube, place }: Pick<Office, "kube" | "place">,
  uid: string,
  signal: AbortSignal,
): Promise<boolean> {
  let term: string | null = null
  const edited = await editMap(
    kube,
    place,
    { urgent: true, create: false },
    (object) => {
      const record = parseRecord(recordIn(object))
      if (record === null || record.holder !== uid) return null
      term ??= termOf(record)
      return termOf(record) === term ? written(released(record)) : null
    },
    signal,
  )
  if (edited.kind === "unknown") throw new StoreError("unavailable", `unseat ${uid}: ${edited.why}`)
  return edited.kind === "done"
}

const written = (record: LeaderRecord): Readonly<Record<string, string>> => ({
  [leaderAnnotation]: recordText(record),
})

export async function campaign(
  office: Office,
  uid: string,
  signal: AbortSignal,
): Promise<Leadership> {
  const { kube } = office
  const over = new AbortController()
  const end = (why: string, cause?: unknown): void =>
    over.abort(new StoreError("unavailable", `election of ${uid}: ${why}`, { cause }))
  over.signal.addEventListener("abort", linked(over, kube.closed), { once: true })
  const release = linked(over, signal)
  const wake = bell()
  const sight = sightOf(kube.clock)
  let mine: string | null = null
  const heard: Changed = (text) => {
    const record = parseRecord(text ?? "")
    if (mine !== null && record !== null && termOf(record) === mine) return // our own renewal
    sight.note(text)
    if (mine !== null || sight.worthALook()) wake.ring()
  }
  void office.watch(heard, over.signal)
  try {
    await office.able.prove(over.signal)
    const { term, sent } = await acquire(office, uid, { sight, wake }, over.signal)
    over.signal.throwIfAborted()
    mine = term
    const candidacy = {
      key: uid,
      created: 0n,
      renew: (timeout: Millis, own: AbortSignal) =>
        within(kube.clock, timeout, own, (bounded) => renew(office, term, bounded)),
      quit: (timeout: Millis, own: AbortSignal) =>
        within(kube.clock, timeout, own, (bounded) => quit(office, term, bounded)),
    }
    const polls = { clock: kube.clock, closed: kube.closed, timeout: kube.timeout }
    void hold(polls, candidacy, sent, end, over.signal)
    void guard(office, term, wake, end, over.signal)
    const announcer = announcerOf(kube, office.place, uid)
    void announcer.say("became leader")
    let resigned = false
    const left = (): void => {
      if (resigned) return
      void announcer.say("stopped leading")
      void giveBack(polls, candidacy)
    }
    over.signal.addEventListener("abort", left, { once: true })
    return {
      signal: over.signal,
      token: term,
      async resign(own) {
        resigned = true
        end("resigned")
        await quit(office, term, own)
        await announcer.say("stopped leading")
      },
    }
  } catch (error) {
    const reason: unknown = over.signal.aborted ? over.signal.reason : error
    over.abort(reason)
    throw reason
  } finally {
    release()
  }
}

interface Term {
  readonly term: string
  /** When the write was sent that made or confirmed it. */
  readonly sent: Millis
}

/** What was seen of the record, and since when it has not changed. */
interface Sight {
  /** Undefined: it may have changed unseen. */
  note(text: string | null | undefined): void
  /** Until the office may be taken, if nothing changes. */
  left(): number
  /** Whether the record itself has to be read now. */
  worthALook(): boolean
}

function sightOf(clock: Clock): Sight {
  let text = ""
  let since = clock.now().mono
  let sure = false
  const left = (): number =>
    isFree(text) ? 0 : since + leaseOf(parseRecord(text)) - clock.now().mono
  return {
    note(next) {
      sure = next !== undefined
      if (next === undefined || (next ?? "") === text) return
      text = next ?? ""
      since = clock.now().mono
    },
    left,
    worthALook: () => !sure || left() <= 0,
  }
}
const isFree = (text: string): boolean => text === "" || parseRecord(text)?.holder === ""

/** Waits until the record is free or has not changed for its length, and takes it. */
async function acquire(
  { kube, place }: Office,
  uid: string,
  { sight, wake }: { readonly sight: Sight; readonly wake: Bell },
  signal: AbortSignal,
): Promise<Term> {
  let mine: LeaderRecord | null = null
  for (;;) {
    signal.throwIfAborted()
    const sent = kube.clock.now().mono
    const change = (object: KubeObject | null): Readonly<Record<string, string>> | null => {
      const text = recordIn(object)
      sight.note(text)
      const record = parseRecord(text)
      const time = recordTime(kube.clock.now().wall)
      // a take-over whose answer was lost: confirmed by a renewal, and counted from that
      if (mine !== null && record !== null && termOf(record) === termOf(mine))
        return written({ ...mine, renewed: time })
      // a term of ours that ended here is nobody's
      if (record?.holder !== uid && sight.left() > 0) return null
      mine = {
        holder: uid,
        seconds: electionTtl / 1000,
        acquired: time,
        renewed: time,
        transitions: object === null ? 0 : (record?.transitions ?? 0) + 1,
      }
      return written(mine)
    }
    const edited = await editMap(kube, place, { urgent: true, create: true }, change, signal)
    const own = termIn(mine)
    if (edited.kind === "done" && own !== null && stands(edited.object, own))
      return { term: own, sent }
    while (edited.kind === "left" && !sight.worthALook())
      await wake.wait(kube.clock, millis(Math.min(sight.left(), electionTtl) + 1), signal)
  }
}

/** Assigned in a closure, which the compiler does not follow. */
const termIn = (record: LeaderRecord | null): string | null =>
  record === null ? null : termOf(record)

/** False: the office is somebody else's, or this process is of no use in it. */
async function renew(
  { kube, place, able }: Office,
  term: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (able.lost()) return false
  const edited = await editMap(
    kube,
    place,
    { urgent: true, create: false },
    (object) => {
      const record = parseRecord(recordIn(object))
      if (record === null || termOf(record) !== term) return null
      return written({ ...record, renewed: recordTime(kube.clock.now().wall) })
    },
    signal,
  )
  if (edited.kind === "unknown") throw new StoreError("unavailable", edited.why)
  return edited.kind === "done"
}

async function quit({ kube, place }: Office, term: string, signal: AbortSignal): Promise<void> {
  const edited = await editMap(
    kube,
    place,
    { urgent: true, create: false },
    (object) => {
      const record = parseRecord(recordIn(object))
      return record !== null && termOf(record) === term ? written(released(record)) : null
    },
    signal,
  )
  if (edited.kind === "unknown") throw new StoreError("unavailable", edited.why)
}

/** Notices that somebody else changed the record. */
async function guard(
  { kube, place }: Office,
  term: string,
  wake: Bell,
  end: (why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await wake.wait(kube.clock, electionTtl, signal)
      if (!stands(await getMap(kube, place, signal, true), term))
        return end("the record names somebody else")
    } catch (error) {
      // aborted, or no answer: the renewals decide
      if (signal.aborted) return
      if (error instanceof StoreError && !error.retryable) return end(message(error))
    }
  }
}
