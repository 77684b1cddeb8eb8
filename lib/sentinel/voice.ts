/**
 * Whose word counts for a keeper (D-16).
 *
 * Two keepers that were started with one uid publish under one key. The one that the view knows by
 * its boot UUID keeps its place; the newcomer must never disturb a running primary, so its words
 * are not even looked at while the other speaks. A keeper that was restarted looks just like a
 * newcomer, but it has the DB that the view assigned. A copy of its machine has it, too: where that
 * DB is the primary, and ran when it was last heard of, nobody is believed before the run that is
 * known has let a beat pass in silence, or there would be two primaries until it speaks again. A
 * standby's second run harms nobody: it is believed at once, and found out a moment later.
 */
import type { Millis } from "#base/brand.ts"
import { millis } from "#base/brand.ts"
import { type ClusterData, dbOfKeeper } from "#model/cluster.ts"
import type { BootUUID, InfoUID, KeeperUID } from "#model/ids.ts"
import type { KeeperInfo } from "#model/info.ts"

/** The last change of a publisher's infoUID that this sentinel saw. */
export interface Seen<Info> {
  readonly infoUID: InfoUID
  readonly info: Info
  readonly since: Millis
  /**
   * When the info before this one was first seen. This one was gathered after that one was
   * published, so after that moment; of `since` alone nobody knows (W2).
   */
  readonly previous: Millis
  /** It changed while we watched: what was there when we came may be a leftover. */
  readonly heard: boolean
}

/** A keeper's last word, and who else speaks in its name. */
export interface Voice extends Seen<KeeperInfo> {
  /** The run that we believed before this one; a run that has ended never speaks again. */
  readonly former: BootUUID | ""
  /** Found to be a second keeper: believed only when nobody else has spoken for long. */
  readonly refused: BootUUID | ""
  readonly rival: Rival | null
  /** It has said of its DB in two infos that it applied this generation. */
  readonly repeated: boolean
}
export interface Rival {
  readonly boot: BootUUID
  readonly infoUID: InfoUID
  readonly at: Millis
  /** Once may be a publish of a dead process that came late. */
  readonly words: number
  /** The one that we believe has spoken since: both live. */
  readonly answered: boolean
}

/** What a word is judged by. */
interface Scene {
  readonly data: ClusterData
  /** Silence of the known run after which a stranger is believed; less than makes it fail. */
  readonly patience: Millis
  /** A run that lives has spoken again by then. */
  readonly beat: Millis
  readonly mono: Millis
}

export function listen(last: Voice | undefined, info: KeeperInfo, scene: Scene): Voice {
  const { mono } = scene
  if (last === undefined)
    return {
      infoUID: info.infoUID,
      info,
      since: mono,
      previous: millis(-Infinity),
      heard: false,
      former: "",
      refused: "",
      rival: null,
      repeated: false,
    }
  if (last.infoUID === info.infoUID) return { ...last, info }
  if (last.rival?.infoUID === info.infoUID)
    return mayBelieve(last, info, scene) ? believed(last, info, scene) : last
  if (last.info.bootUUID === info.bootUUID) return goOn(last, info, scene)
  // the herald of a run that is over is no second keeper; its successor says the same for itself
  if (info.ended) return last
  return another(last, info, scene)
}

function goOn(last: Voice, info: KeeperInfo, scene: Scene): Voice {
  const { mono } = scene
  const { infoUID } = info
  if (!last.heard && isDoubtful(last, info, scene)) return { ...last, infoUID, info }
  // that this run is over is no answer to the next one
  const rival = last.rival && { ...last.rival, answered: last.rival.answered || !info.ended }
  const repeated = saysSame(last.info, info)
  return { ...last, infoUID, info, since: mono, previous: last.since, heard: true, rival, repeated }
}

function saysSame({ postgresState: before }: KeeperInfo, { postgresState: now }: KeeperInfo) {
  return before !== undefined && before.uid === now?.uid && before.generation === now.generation
}

function another(last: Voice, info: KeeperInfo, scene: Scene): Voice {
  const { mono } = scene
  const boot = info.bootUUID
  const words = last.rival?.boot === boot ? last.rival.words + 1 : 1
  const rival: Rival = { boot, infoUID: info.infoUID, at: mono, words, answered: false }
  const wait: Voice = { ...last, rival: { ...rival, answered: isSame(last.rival, rival) } }
  const believe = believed(last, info, scene)
  const silent = isSilent(last, scene)
  const present = known(info, scene)
  // it was there first, and it is not dead: the one that took its place is the second
  if (last.former === boot || (present === boot && last.heard))
    return words > 1 || silent ? restored(believe, wait, mono) : wait
  if (silent || present === boot) return { ...believe, refused: "" }
  return mayBelieve(wait, info, scene) ? believe : wait
}

function believed(last: Voice, info: KeeperInfo, scene: Scene): Voice {
  const boot = last.info.bootUUID
  return {
    ...last,
    infoUID: info.infoUID,
    info,
    since: scene.mono,
    previous: millis(-Infinity),
    heard: true,
    former: last.heard || boot === known(info, scene) ? boot : "",
    rival: null,
    repeated: false,
  }
}

/** Another run than the one before, while that one is not silent for long. */
const mayBelieve = (last: Voice, info: KeeperInfo, scene: Scene): boolean =>
  info.bootUUID !== last.refused && !isDoubtful(last, info, scene)

const isSilent = ({ since }: Voice, { mono, patience }: Scene): boolean => mono - since > patience

/** Not the run that the view knows, and perhaps not even the same machine. */
function isDoubtful(last: Voice, info: KeeperInfo, scene: Scene): boolean {
  if (isStranger(info, scene)) return !isSilent(last, scene)
  if (info.bootUUID === known(info, scene) || !isPrimary(last.info, scene)) return false
  return last.rival?.answered === true
    ? !isSilent(last, scene)
    : scene.mono - last.since <= scene.beat
}

/** By its last word it runs the primary. */
const isPrimary = ({ postgresState }: KeeperInfo, { data }: Scene): boolean =>
  postgresState?.healthy === true && postgresState.uid === data.cluster.status.master

const isSame = (before: Rival | null, now: Rival): boolean =>
  before?.boot === now.boot && before.answered

/**
 * Back to the run that was there first. The other one is a second keeper only when both were heard
 * in turns; else it ended, and the leader was told of its successor before we were.
 */
function restored(believe: Voice, last: Voice, mono: Millis): Voice {
  const boot = last.info.bootUUID
  if (last.rival?.answered !== true) return { ...believe, former: "", refused: "", rival: null }
  const rival: Rival = { boot, infoUID: last.infoUID, at: mono, words: 2, answered: true }
  return { ...believe, former: "", refused: boot, rival }
}

const known = ({ uid }: KeeperInfo, { data }: Scene): BootUUID | "" =>
  data.keepers.get(uid)?.status.bootUUID ?? ""

/**
 * Another run than the one that the view knows, without the DB that the keeper should have: perhaps
 * another machine, perhaps the same one with a new disk.
 */
function isStranger(info: KeeperInfo, scene: Scene): boolean {
  const boot = known(info, scene)
  const db = dbOfKeeper(scene.data, info.uid)
  if (boot === "" || boot === info.bootUUID || db === undefined) return false
  return info.postgresState?.uid !== db.uid
}

/** Two runs under one uid, both alive: proved by words of the one after words of the other. */
export const hasDouble = ({ rival }: Voice, patience: Millis, mono: Millis): boolean =>
  rival !== null && rival.words > 1 && rival.answered && mono - rival.at <= 2 * patience

export type Voices = ReadonlyMap<KeeperUID, Voice>
