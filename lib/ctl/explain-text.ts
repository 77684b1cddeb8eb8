/**
 * `stolon ctl explain`, for people and (JSON) for programs: the leader's thoughts (`Explanation`),
 * laid out beside the positions of the members. It says nothing that the leader would not.
 *
 * Field names of the JSON are an interface: add, never rename.
 */
import { formatLsn } from "#base/lsn.ts"
import { never } from "#base/brand.ts"
import type { Candidacy, Explanation, FencingState, Present, Sighting } from "#model/explain.ts"
import { type Json, printJsonIndented } from "#model/json.ts"
import { switchoverLine, switchoverValue } from "./safety.ts"
import type { Facts } from "./status.ts"
import { type Paint, bytes, plain, section, stateOf } from "./status-text.ts"

export function explainText(facts: Facts, it: Explanation, paint: Paint = plain): string {
  const head = [
    `${paint.bold(`Cluster ${facts.clusterName}`)}: ${primaryText(it.primary)}`,
    `Leader: ${leaderText(it)}`,
    ...(it.switchover === null ? [] : [switchoverLine(it.switchover)]),
  ]
  const parts = [
    head.join("\n"),
    section("Who may be the primary", candidateRows(facts, it), paint, "no keeper has a database"),
    bullets("Fencing", fencingLines(it), "", paint),
    bullets("What speaks against the primary", against(it), "nothing", paint),
    bullets("Waiting for", waitingOf(facts, it), "nothing", paint),
  ]
  return `${parts.join("\n\n")}\n`
}

const bullets = (title: string, items: readonly string[], none: string, paint: Paint): string =>
  section(title, items.length === 0 ? [] : items.map((item) => [`- ${item}`]), paint, none)

function primaryText(primary: Present | null): string {
  if (primary === null) return "there is no primary"
  const { keeper } = primary
  const before =
    primary.elected === "" ? "" : `; the one before it ended by ${proofs[primary.elected]}`
  switch (primary.state) {
    case "serving":
      return `${keeper} is the primary and clients are led to it${before}`
    case "opening":
      return `${keeper} is the primary, clients are not led to it yet${before}`
    case "held":
      return `${keeper} is the primary, clients are held for a switchover`
    case "revoked":
      return `${keeper} is deposed, and its end is awaited`
    default:
      return never(primary.state)
  }
}

const proofs = {
  certificate: "its certificate",
  lease: "its lease",
  standbys: "its standbys, which had detached",
  proxies: "its silence and that of the proxies",
} as const

const leaderText = ({ leader, detection }: Explanation): string =>
  `${leader === null ? "none, so nothing is decided" : `sentinel ${leader}`}; a dead primary is noticed by ${
    detection === "evidence" ? "evidence of peers, and by silence" : "silence alone"
  }`

function candidateRows(facts: Facts, it: Explanation): readonly (readonly string[])[] {
  const rows = it.candidates.map((one) => candidateRow(facts, it, one))
  const { primary } = it
  const top = facts.members.find(({ keeper }) => keeper === primary?.keeper)
  const own =
    primary === null || top === undefined
      ? []
      : [
          [
            primary.keeper,
            stateOf(top),
            at(top.position),
            "-",
            primary.state === "revoked" ? "deposed" : "it is",
          ],
        ]
  if (own.length + rows.length === 0) return []
  return [["KEEPER", "STATE", "POSITION", "LAG", "MAY BE PRIMARY"], ...own, ...rows]
}

function candidateRow(facts: Facts, it: Explanation, one: Candidacy): readonly string[] {
  const member = facts.members.find(({ keeper }) => keeper === one.keeper)
  const lag = member?.lagBytes ?? null
  const notes = [
    one.why === null ? "yes" : `no: ${one.why}`,
    ...(one.electable === false ? ["not in the electable set"] : []),
    ...(one.detached ? ["its WAL is final"] : []),
    ...(one.promisedTo === null ? [] : [`has promised ${one.promisedTo} to promote nobody`]),
  ]
  return [
    one.keeper,
    member === undefined ? "-" : stateOf(member),
    at(one.position === 0n && member !== undefined ? member.position : one.position),
    lag === null || it.primary === null ? "-" : bytes(lag),
    notes.join("; "),
  ]
}

const at = (position: Candidacy["position"] | null): string =>
  position === null || position === 0n ? "-" : formatLsn(position)

function fencingLines({ fencing, electable, primary }: Explanation): readonly string[] {
  const set =
    electable.kind === "off"
      ? `electable set: none (${electable.why}), so the primary stops when it cannot reach the store`
      : `electable set: ${electable.keepers.join(", ") || "nobody"}${
          electable.acknowledged ? "" : ", not acknowledged by the primary yet"
        }; ${
          electable.keepers.length === 0 ? "so" : "with their promises"
        } the primary goes on without the store`
  return [
    modeText(fencing),
    ...(fencing.certificate === null
      ? []
      : [
          `${primary?.keeper ?? "the primary"} has certified its end (${fencing.certificate.reason}), ${ended(fencing.certificate.finalLSN)}`,
        ]),
    ...(fencing.wanted === true || fencing.lease !== null ? [set] : []),
  ]
}

const ended = (position: Candidacy["position"]): string =>
  position === 0n ? "where its log ends is not known" : `its log ends at ${formatLsn(position)}`

function modeText({ wanted, lease, dropped }: FencingState): string {
  const under = lease === null ? "no primary claims a lease" : `the lease is ${lease / 1000} s`
  if (dropped)
    return `on, ${under}; the specification has lost the setting (a Go sentinel dropped it), keepers keep to it, and our leader restores it`
  if (wanted === true) return `on, ${under}`
  const how = "stolon ctl configure selfFencing=true failureDetection=evidence"
  return `off${wanted === false ? " by the specification" : ", as in Go stolon"}: a primary without a store goes on, and proxies are waited for; to switch it on: ${how}`
}

const against = ({ primary, evidence }: Explanation): readonly string[] => [
  ...(primary?.fault === null || primary === null ? [] : [primary.fault]),
  ...evidence.map(sighting),
]

function sighting(it: Sighting): string {
  switch (it.kind) {
    case "keeper":
      return `keeper ${it.keeper} says that its PostgreSQL ${it.says === "stopping" ? "is stopping" : "has failed"}`
    case "certificate":
      return `keeper ${it.keeper} has certified that its PostgreSQL ended (${it.reason})`
    case "stream":
      return `the standby on ${it.keeper} has lost its WAL stream`
    case "doors": {
      const { keeper, peer, postgres } = it.found
      const doors = `keeper ${keeper}: ${peer || "not tried"}, its PostgreSQL: ${postgres || "not tried"}`
      return `sentinel ${it.sentinel} found ${doors}${it.current ? "" : " (void: the keeper has spoken since)"}`
    }
    default:
      return never(it)
  }
}

/** The leader's reasons first; then what `status` lists, with the commands that help. */
const waitingOf = (facts: Facts, it: Explanation): readonly string[] => [
  ...(it.primary?.unready ?? []).map((what) => `the primary to have ${what}`),
  ...it.waiting,
  ...facts.waiting.map(({ text }) => text).filter((text) => !it.waiting.includes(text)),
  ...remedy(facts, it),
]

/** Nobody can take over from a primary that is ill: only a person can resolve that (P5). */
function remedy(facts: Facts, { primary, candidates }: Explanation): readonly string[] {
  const ill = primary !== null && (primary.state === "revoked" || primary.fault !== null)
  if (!ill || candidates.some(({ why }) => why === null)) return []
  const commits = facts.synchronous
    ? `, or a standby that was in sync; or, giving the last commits up: stolon ctl update --patch '{"synchronousReplication":false}'`
    : ", or a standby"
  return [`somebody to bring keeper ${primary.keeper} back${commits}`]
}

export const explainJson = (facts: Facts, it: Explanation): string =>
  `${printJsonIndented(explainValue(facts, it))}\n`

function explainValue(facts: Facts, it: Explanation): Json {
  const { primary, fencing, electable } = it
  return {
    cluster: facts.clusterName,
    leader: it.leader,
    detection: it.detection,
    primary:
      primary === null
        ? null
        : {
            keeper: primary.keeper,
            db: primary.db,
            epoch: primary.epoch,
            state: primary.state,
            fault: primary.fault,
            unready: [...primary.unready],
            fencedBy: primary.elected === "" ? null : primary.elected,
          },
    candidates: it.candidates.map((one) => ({
      keeper: one.keeper,
      db: one.db,
      mayBePrimary: one.why === null,
      why: one.why,
      position: formatLsn(one.position),
      electable: one.electable,
      detached: one.detached,
      promisedTo: one.promisedTo,
    })),
    fencing: {
      wanted: fencing.wanted,
      leaseSeconds: fencing.lease === null ? null : fencing.lease / 1000,
      dropped: fencing.dropped,
      certificate:
        fencing.certificate === null
          ? null
          : {
              finalLSN: formatLsn(fencing.certificate.finalLSN),
              reason: fencing.certificate.reason,
            },
    },
    electable:
      electable.kind === "off"
        ? { keepers: null, why: electable.why }
        : { keepers: [...electable.keepers], acknowledged: electable.acknowledged },
    evidence: it.evidence.map((one) => ({ kind: one.kind, text: sighting(one) })),
    switchover: switchoverValue(it.switchover),
    waiting: waitingOf(facts, it),
  }
}
