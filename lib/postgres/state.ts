/**
 * The keeper's own small files: `keeperstate` and `dbstate` byte for byte as Go stolon has them
 * (reference 4.1), so that either program can take over from the other, and `stolon-work`,
 * `stolon-certificate`, `stolon-handled`, `stolon-fencing` and `stolon-promise`, which are ours.
 *
 * A missing file is the zero state. One that cannot be decoded throws: a keeper that forgot which
 * DB its data belongs to must not go on as if it had none.
 */
import * as v from "valibot"
import { millis } from "#base/brand.ts"
import {
  always,
  count,
  decode,
  dictionary,
  encode,
  flag,
  id,
  type Kind,
  list,
  nullable,
  struct,
  text,
} from "#model/codec.ts"
import {
  type ClusterUID,
  type DBUID,
  dbUID,
  epoch,
  type Generation,
  type KeeperUID,
  keeperUID,
  type Nonce,
} from "#model/ids.ts"
import { Certificate } from "#model/info.ts"
import type { DBState, FencingMode, KeeperState, Mark, PromiseMade } from "#model/local.ts"
import type { Step } from "#model/step.ts"
import { readIfPresent, removeDurably, writeAtomic } from "#system/files.ts"
import { type Job, messageOf, type Places } from "./settings.ts"

const keeperFile = struct({ UID: always(id<KeeperUID>()), ClusterUID: always(id<ClusterUID>()) })
const dbFile = struct({
  UID: always(id<DBUID>()),
  Generation: always(count<Generation>()),
  Initializing: always(flag),
  InitPGParameters: always(nullable(dictionary<string, string>(text))),
})
const markFile = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    kind: v.picklist(["setup", "rewind", "copied"]),
    db: v.pipe(v.string(), v.transform(dbUID)),
  }),
)

export const encodeKeeperState = ({ uid, clusterUID }: KeeperState): string =>
  encode(keeperFile, { UID: uid, ClusterUID: clusterUID })

export function decodeKeeperState(source: string): KeeperState {
  const file = decode(keeperFile, source)
  return { uid: file.UID, clusterUID: file.ClusterUID }
}

export const encodeDBState = (state: DBState): string =>
  encode(dbFile, {
    UID: state.uid,
    Generation: state.generation,
    Initializing: state.initializing,
    InitPGParameters: state.initPGParameters,
  })

export function decodeDBState(source: string): DBState {
  const file = decode(dbFile, source)
  return {
    uid: file.UID,
    generation: file.Generation,
    initializing: file.Initializing,
    initPGParameters: file.InitPGParameters,
  }
}

const noKeeper = decodeKeeperState("{}")
const noDB = decodeDBState("{}")

async function load<T>(path: string, zero: T, parse: (source: string) => T): Promise<T> {
  const source = await readIfPresent(path)
  if (source === null) return zero
  try {
    return parse(source)
  } catch (cause) {
    throw new Error(`cannot use the state file ${path}: ${messageOf(cause)}`, { cause })
  }
}

export const readKeeperState = ({ keeperState }: Places): Promise<KeeperState> =>
  load(keeperState, noKeeper, decodeKeeperState)
export const readDBState = ({ dbState }: Places): Promise<DBState> =>
  load(dbState, noDB, decodeDBState)
export const readMark = ({ mark }: Places): Promise<Mark | null> =>
  load<Mark | null>(mark, null, (source) => v.parse(markFile, source))
export const readCertificate = ({ certificate }: Places): Promise<Certificate | null> =>
  load<Certificate | null>(certificate, null, (source) =>
    decode<Certificate>(certificateKind, source),
  )

const certificateKind: Kind<Certificate> = Certificate

const handledKind = list(id<Nonce>())
/**
 * Damaged counts as empty: a wish that still stands is then fulfilled once more, which is better
 * than a keeper that does nothing.
 */
export async function readHandled({ handled }: Places): Promise<readonly Nonce[]> {
  const source = await readIfPresent(handled)
  try {
    return source === null ? [] : decode(handledKind, source)
  } catch {
    return []
  }
}

const fencingFile = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ on: v.boolean(), lease: v.pipe(v.number(), v.minValue(1), v.transform(millis)) }),
)
export const readFencing = ({ fencing }: Places): Promise<FencingMode | null> =>
  load<FencingMode | null>(fencing, null, (source) => v.parse(fencingFile, source))

const promiseFile = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    epoch: v.pipe(v.string(), v.transform(epoch)),
    keeper: v.pipe(v.string(), v.transform(keeperUID)),
    width: v.pipe(v.number(), v.minValue(0), v.transform(millis)),
  }),
)
export const readPromise = ({ promise }: Places): Promise<PromiseMade | null> =>
  load<PromiseMade | null>(promise, null, (source) => v.parse(promiseFile, source))

export const writePromise = ({ promise }: Places, made: PromiseMade | null): Promise<void> =>
  made === null ? removeDurably(promise) : writeAtomic(promise, JSON.stringify(made))

export const writeDBState = ({ dbState }: Places, state: DBState): Promise<void> =>
  writeAtomic(dbState, encodeDBState(state))

type Of<K> = Extract<Step, { kind: K }>

export const saveKeeper = ({ state }: Of<"save-keeper">, { places }: Job): Promise<void> =>
  writeAtomic(places.keeperState, encodeKeeperState(state))

export const saveDB = ({ state }: Of<"save-db">, { places }: Job): Promise<void> =>
  writeDBState(places, state)

export const mark = (step: Of<"mark">, { places }: Job): Promise<void> =>
  writeAtomic(places.mark, JSON.stringify(step.mark))

export async function unmark(_: Of<"unmark">, { places }: Job): Promise<void> {
  await removeDurably(places.rewind)
  await removeDurably(places.mark)
}

export const certify = ({ certificate }: Of<"certify">, { places }: Job): Promise<void> =>
  writeAtomic(places.certificate, encode(certificateKind, certificate))

export const saveHandled = ({ handled }: Of<"save-handled">, { places }: Job): Promise<void> =>
  writeAtomic(places.handled, encode(handledKind, handled))

export const saveFencing = ({ mode }: Of<"save-fencing">, { places }: Job): Promise<void> =>
  writeAtomic(places.fencing, JSON.stringify(mode))
