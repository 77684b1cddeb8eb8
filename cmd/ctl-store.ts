/**
 * `stolon ctl store migrate`: reads both stores, writes the marks in their order, and waits. What
 * each look means is `lib/ctl/migrate.ts`.
 */
import { millis } from "#base/brand.ts"
import { checkTarget, fromFlags, migrateCommand } from "#cli/ctl-store.ts"
import type { Invocation } from "#cli/invocation.ts"
import type { StoreChoice } from "#cli/store.ts"
import type { Change } from "#ctl/edit.ts"
import { signed, unusable } from "#ctl/edit.ts"
import {
  type Both,
  type Mark,
  type Names,
  type Side,
  type Sides,
  arriving,
  closing,
  hear,
  hindrance,
  itinerary,
  leaving,
  missing,
  settling,
  silenceLimit,
  stageOf,
  strayProxies,
} from "#ctl/migrate.ts"
import type { Found } from "#ctl/status.ts"
import { ClusterData } from "#model/cluster.ts"
import { same } from "#model/codec.ts"
import { type Expected, type Reading, type Store, StoreError } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { onShutdown } from "#system/signals.ts"
import { asker } from "./ctl-asker.ts"
import { freshNonce } from "./ctl-change.ts"
import { lookAt, since } from "./ctl-follow.ts"
import { Failure, type Session, explained, session } from "./ctl-session.ts"
import { agreed, readText } from "./ctl-terminal.ts"
import { commit } from "./ctl-write.ts"
import { print } from "./front.ts"

type Migration = Session<(typeof migrateCommand)["flags"]>
type End = keyof Names

/** One of the two stores. */
interface Place {
  readonly store: Store
  readonly choice: StoreChoice
  readonly name: string
}
type Places = Readonly<Record<End, Place>>

export const migrate = (invocation: Invocation): Promise<number> =>
  session(
    migrateCommand,
    invocation,
    async (it) => {
      const { toPasswordfile: secret } = it.values
      const checked = checkTarget(it.values, secret === "" ? "" : await firstLine(secret))
      if (checked.kind === "refused") throw new Failure(checked.message, 2)
      const { openStore } = await import("#store/open.ts")
      await using there = await openStore(checked.store).catch((error: unknown) =>
        blame(error, checked.store),
      )
      const places: Places = {
        from: placeOf(await it.store(), it.choice),
        to: placeOf(there, checked.store),
      }
      const names = { from: places.from.name, to: places.to.name }
      if (names.from === names.to && it.choice.prefix === checked.store.prefix)
        throw new Failure(`--to is where the cluster is already (${names.to})`, 2)
      return it.values.cancel ? await goBack(it, places, names) : await move(it, places, names)
    },
    fromFlags,
  )

const firstLine = async (file: string): Promise<string> =>
  (await readText(file)).split("\n")[0] ?? ""

const placeOf = (store: Store, choice: StoreChoice): Place => ({
  store,
  choice,
  name: [choice.backend, choice.endpoints.join(",")].join(" ").trim(),
})

/** Names the store that did not do its part. */
function blame(error: unknown, choice: StoreChoice): never {
  const trouble = explained(error, choice, false)
  throw trouble === null ? error : new Failure(trouble.message, trouble.exit)
}
const at = <T>({ store, choice }: Place, work: (store: Store) => Promise<T>): Promise<T> =>
  work(store).catch((error: unknown) => blame(error, choice))

const dataOf = (reading: Reading): ClusterData | null =>
  reading.kind === "found" ? reading.data : null

async function move(it: Migration, places: Places, names: Names): Promise<number> {
  const found = await at(places.from, (store) => lookAt(store, it.signal))
  const stage = stageOf({ from: found.data, to: await dataAt(it, places.to) }, names)
  if (stage.kind === "refused") throw new Failure(stage.message)
  if (stage.kind === "copy") {
    const why = found.data === null ? null : hindranceOf(found.data, found)
    if (why !== null) throw new Failure(why)
  }
  if (it.values.dryRun) {
    const line = {
      copy: `would move the cluster from ${names.from} to ${names.to}`,
      wait: `would wait for who has not come to ${names.to}, and end the move`,
      over: `the cluster lives in ${names.to}; nothing would be done`,
    }[stage.kind]
    await print(`${line}\n`)
    return 0
  }
  if (it.values.finish && stage.kind === "copy")
    throw new Failure("nothing is on the move, so there is nothing to finish")
  if (!(await agreed(it.values))) return 0
  if (stage.kind === "copy") await begin(it, places, names)
  if (stage.kind !== "over") {
    const there = await at(places.to, (store) => lookAt(store, it.signal))
    if (!it.values.finish) await guide(found, places.to)
    if (it.values.noWait) return 0
    await end(it, { home: "to", left: "from" }, places, there)
  } else await shut(it, "from", places)
  await print(`the cluster lives in ${names.to}; nothing is decided in ${names.from} any more\n`)
  return 0
}

const hindranceOf = (data: ClusterData, found: Found): string | null =>
  unusable(data, "strict") ?? hindrance({ ...found, data })

async function goBack(it: Migration, places: Places, names: Names): Promise<number> {
  const both: Both = { from: await dataAt(it, places.from), to: await dataAt(it, places.to) }
  const stage = stageOf(both, names)
  if (stage.kind === "refused") throw new Failure(stage.message)
  if (stage.kind === "over") throw new Failure(`the cluster lives in ${names.to}; move it back`)
  if (both.from?.cluster.status.move === undefined) {
    await print("nothing is on the move\n")
    return 0
  }
  if (it.values.dryRun) {
    await print(`would wait for who is not back in ${names.from}, and end the move there\n`)
    return 0
  }
  if (!(await agreed(it.values))) return 0
  const found = await at(places.from, (store) => lookAt(store, it.signal))
  await end(it, { home: "from", left: "to" }, places, found)
  await print(`the cluster lives in ${names.from}, as before\n`)
  return 0
}

async function dataAt(it: Migration, place: Place): Promise<ClusterData | null> {
  return dataOf(await at(place, (store) => store.read(it.signal)))
}

const triesMax = 20

/**
 * The copy, read back and compared, and then the mark in the old store over the very version that
 * was copied. Whatever came between begins it again; one mark for all tries, so that a write that
 * was applied late is still ours.
 */
async function begin(it: Migration, places: Places, names: Names): Promise<void> {
  const writer = freshNonce()
  let mark: Mark = { nonce: freshNonce(), by: asker(), since: realClock.now().wall }
  for (let tries = 0; tries < triesMax; tries++) {
    const [from, to] = [
      await at(places.from, (store) => store.read(it.signal)),
      await at(places.to, (store) => store.read(it.signal)),
    ]
    const stage = stageOf({ from: dataOf(from), to: dataOf(to) }, names)
    if (stage.kind === "refused") throw new Failure(stage.message)
    if (stage.kind !== "copy" || from.kind === "absent") return
    // marked before, by a try whose copy is gone
    const before = from.data.cluster.status.move
    if (before !== undefined) mark = { nonce: before.nonce, by: before.by, since: before.since }
    const copy = signed(arriving(from.data, mark, names), writer)
    const over: Expected =
      to.version === null ? { kind: "absent" } : { kind: "version", version: to.version }
    const copied = await at(places.to, (store) => store.write(copy, over, null, it.signal))
    if (copied.kind !== "written") continue
    const back = await dataAt(it, places.to)
    // a leader there may have taken note of somebody since, and signed it
    if (back?.cluster.status.writer === writer && !same(ClusterData, back, copy))
      throw new Failure(`${names.to} does not give back what was written; nothing has been moved`)
    if (before !== undefined) return
    const left = signed(leaving(from.data, mark, names), writer)
    const expected: Expected = { kind: "version", version: from.version }
    const written = await at(places.from, (store) => store.write(left, expected, null, it.signal))
    if (written.kind === "written") return
  }
  throw new Failure(
    `the cluster data in ${names.from} changed all the time; nothing has been moved, try again`,
  )
}

const usualPrefix = migrateCommand.flags["to-prefix"].default

/** What a person does now. */
async function guide(found: Found, { choice }: Place): Promise<void> {
  if (found.data === null) return
  const flags = [
    `--store-backend=${choice.backend}`,
    ...(choice.endpoints.length === 0 ? [] : [`--store-endpoints=${choice.endpoints.join(",")}`]),
    ...(choice.prefix === usualPrefix ? [] : [`--store-prefix=${choice.prefix}`]),
  ].join(" ")
  const lines = itinerary({ ...found, data: found.data }, flags)
  await print(`${lines.join("\n")}\n`)
}

interface Way {
  /** Where it shall live. */
  readonly home: End
  readonly left: End
}

/** Waits until all are at home, shuts the other store, and takes the mark away here. */
async function end(it: Migration, way: Way, places: Places, first: Found): Promise<void> {
  const nonce = first.data?.cluster.status.move?.nonce
  if (nonce === undefined) return // somebody else has ended it
  const { home, left } = await everybody(it, way, places)
  if (left.found.data !== null) await shut(it, way.left, places)
  const patience = silenceLimit(home.found.data)
  const strays = strayProxies(left, patience, realClock.now().mono)
  if (strays.length > 0) {
    await print(`${strays.join(", ")} cut within ${patience / 1000} s\n`)
    await realClock.sleep(patience, it.signal)
  }
  await apply(it, places[way.home], settling(nonce))
}

/** A document that is not there needs no end. */
async function shut(it: Migration, left: End, places: Places): Promise<void> {
  const nonce = (await dataAt(it, places[left]))?.cluster.status.move?.nonce
  const home = places[left === "from" ? "to" : "from"]
  if (nonce !== undefined) await apply(it, places[left], closing(nonce, home.name))
}

async function apply(it: Migration, place: Place, change: Change): Promise<void> {
  const nonce = freshNonce()
  const options = { nonce, check: () => null }
  const result = await at(place, (store) => commit(store, change, options, it.signal))
  switch (result.kind) {
    case "written":
    case "unchanged":
      return
    case "refused":
      throw new Failure(`${place.name}: ${result.message}`)
    case "absent":
      throw new Failure(`the cluster data in ${place.name} are gone`)
    case "conflicts":
    case "uncertain":
      throw new Failure(`${place.name} did not take the write; call this again to go on`)
  }
}

const glance = millis(500)
/** Long enough to hear who is there, before the others are given up. */
const finishAfter = 15_000

/** Looks at both stores until nobody is missing; trouble of a store is told, and waited out. */
async function everybody(it: Migration, way: Way, places: Places): Promise<Sides> {
  const started = realClock.now().mono
  using interrupt = onShutdown()
  const done = new AbortController()
  using _ = { [Symbol.dispose]: () => done.abort() }
  const deadline = realClock.deadline(it.values.timeout, done.signal)
  const stop = AbortSignal.any([it.signal, interrupt.signal, deadline])
  let sides: Sides | null = null
  let line = ""
  while (!stop.aborted) {
    const looked = await look(places, way, sides, stop)
    const { mono } = realClock.now()
    let next = ""
    if (typeof looked === "string") next = looked
    else {
      sides = looked
      const waiting = missing(looked, mono)
      const isOver = it.values.finish && mono - started > finishAfter
      if (isOver && waiting.length > 0) await print(`not waited for: ${waiting.join(", ")}\n`)
      if (isOver || waiting.length === 0) return looked
      next = `waiting for ${waiting.join(", ")}`
    }
    if (next !== line && next !== "") await print(`${since(started)}  ${next}\n`)
    line = next
    await realClock.sleep(glance, stop).catch(() => {})
  }
  const how = interrupt.signal.aborted ? "interrupted" : `not finished after ${since(started)}`
  throw new Failure(
    `${how}: ${line || "nothing was seen"}; the move goes on, call this again to end it`,
    interrupt.signal.aborted ? 130 : 1,
  )
}

/** Both ends, or what is wrong with a store. */
async function look(
  places: Places,
  way: Way,
  before: Sides | null,
  signal: AbortSignal,
): Promise<Sides | string> {
  const side = async (which: End, last: Side | undefined): Promise<Side> => {
    const found = await lookAt(places[which].store, signal)
    const voices = hear(last?.voices ?? new Map(), found.infos, realClock.now().mono)
    return { found, voices }
  }
  try {
    const [home, left] = await Promise.all([
      side(way.home, before?.home),
      side(way.left, before?.left),
    ])
    return { home, left }
  } catch (error) {
    if (signal.aborted) return ""
    if (error instanceof StoreError) return `a store does not answer: ${error.message}`
    throw error
  }
}
