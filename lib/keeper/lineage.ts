/**
 * Whose timelines lie in the data here (protocol W9). It stands in the generated configuration,
 * beside the address from which WAL comes: the file that lets another primary in says first what
 * was there before, copies of the directory bring it along, and a Go keeper, which writes its own
 * file, leaves nothing behind that could be wrong.
 *
 * Never says more than is certain: a directory that does not tell is not judged.
 */
import type { DB } from "#model/cluster.ts"
import type { DBUID } from "#model/ids.ts"
import {
  type Lineage,
  type Written,
  formatLineage,
  isStranger,
  lineageOfHead,
  newestOf,
  parseLineage,
  readLineage,
} from "#model/lineage.ts"
import type { Local } from "#model/local.ts"
import { parseConf } from "./conf.ts"
import type { Run } from "./desire.ts"

export const lineageName = "stolon.lineage"

/** The newest timeline of which anything is here: its history arrives before its WAL. */
function reached({ data, server }: Local): number {
  const newest = data.kind === "initialized" ? data.newest : 0
  if (server.kind === "up") return Math.max(server.timeline, newest)
  return Math.max(data.kind === "initialized" ? (data.control?.timeline ?? 0) : 0, newest)
}

const isPrimary = ({ server }: Local): boolean => server.kind === "up" && !server.inRecovery

const noted = ({ files }: Local): string | undefined =>
  files === null ? undefined : parseConf(files.conf).get(lineageName)

const writtenIn = (local: Local): Written =>
  parseLineage(noted(local) ?? unknown) ?? { births: [], from: null }
const unknown = "?"

/** All timelines of the data here, the present one included. */
export function lineageHere(local: Local): Lineage {
  const { births, from } = writtenIn(local)
  const { server } = local
  // whoever is a primary began its timeline itself, by promotion or as the first
  if (server.kind === "up" && !server.inRecovery)
    return withNewest(before(births, server.timeline), server.timeline, local.db.uid)
  return withNewest(births, reached(local), from)
}

const before = (births: Lineage, timeline: number): Lineage =>
  births.filter((birth) => birth.timeline < timeline)

const withNewest = (births: Lineage, timeline: number, db: DBUID | null): Lineage =>
  timeline <= 1 || (newestOf(births)?.timeline ?? 0) >= timeline
    ? births
    : [...births, { timeline, db }]

/** For the next configuration; the same text for as long as WAL comes from the same DB. */
export function lineageFor(local: Local, { role, db, others }: Run): string {
  const follows = role.kind === "internal" && role.followed.spec.role === "master"
  const from = role.kind === "primary" ? db.uid : follows ? role.followed.uid : null
  const text = noted(local)
  const { births, from: last } = writtenIn(local)
  if (text !== undefined && last === from) return text
  if (role.kind === "primary" && isPrimary(local))
    return formatLineage(before(births, reached(local)), from)
  const former = others.find(({ uid }) => uid === last)
  return formatLineage(corrected(lineageHere(local), former), from)
}

/** What came from a standby that was about to be promoted is whose that one says. */
function corrected(births: Lineage, former: DB | undefined): Lineage {
  if (former === undefined) return births
  const said = readLineage(former.status.lineage)
  return births.map((birth) =>
    birth.db === former.uid
      ? (said.find(({ timeline, db }) => timeline === birth.timeline && db !== null) ?? birth)
      : birth,
  )
}

/**
 * Whether the data here may take WAL from `followed`. `stranger`: it holds a timeline with the
 * number of one of `followed`'s that another DB began; neither PostgreSQL nor pg_rewind would
 * notice. `unsure`: it may turn out so once `followed` has been promoted.
 */
export function kinship(local: Local, followed: DB): "kin" | "stranger" | "unsure" {
  const { uid, spec, status, generation } = followed
  if (spec.role !== "master") return "kin"
  const own = lineageHere(local)
  const settled = status.healthy && status.currentGeneration === generation
  const theirs = lineageOfHead({ ...status, uid, master: true, settled })
  if (isStranger(own, uid, theirs)) return "stranger"
  const last = newestOf(own)
  // one that goes on as what it was began its timeline long ago: then numbers tell
  const begun = settled || theirs.some((birth) => birth.db === uid)
  const ahead = last !== null && last.db !== null && last.timeline > status.timelineID
  return ahead && last.db !== uid && !begun ? "unsure" : "kin"
}
