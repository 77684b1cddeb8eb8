/**
 * `stolon ctl status`, for people and (JSON) for programs. The go dialect's bytes are
 * `status-go.ts`.
 *
 * Field names of the JSON are an interface: add, never rename.
 */
import type { Json } from "#model/json.ts"
import { printJsonIndented } from "#model/json.ts"
import { type Pause, describePause } from "#model/wish.ts"
import { formatLsn } from "#base/lsn.ts"
import { safetyLines, safetyValue } from "./safety.ts"
import { columns } from "./table.ts"
import type { Facts, Member, ProxyFact } from "./status.ts"

/** Escape codes, or nothing at all. */
export interface Paint {
  readonly bold: (text: string) => string
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
}
export const plain: Paint = { bold: (s) => s, good: (s) => s, bad: (s) => s }
const code =
  (open: number, close: number) =>
  (text: string): string =>
    `\u001b[${open}m${text}\u001b[${close}m`
export const colored: Paint = { bold: code(1, 22), good: code(32, 39), bad: code(31, 39) }

export function statusText(facts: Facts, paint: Paint = plain): string {
  const parts = [
    head(facts, paint),
    section("Members", memberRows(facts), paint, "no keeper reports"),
    section("Sentinels", sentinelRows(facts), paint, "none reports"),
    section("Proxies", facts.proxies.map(proxyRow), paint, "none reports"),
    ...list(
      "Waiting for",
      facts.waiting.map(({ text }) => text),
      paint,
    ),
    ...list("Warnings", facts.warnings, paint),
  ]
  return `${parts.join("\n\n")}\n`
}

function head(facts: Facts, paint: Paint): string {
  const uid = facts.clusterUID === null ? "" : ` (${facts.clusterUID})`
  const mode = facts.synchronous ? "synchronous" : "asynchronous"
  const kind = facts.clusterUID === null ? "" : `, ${mode} replication`
  const standby = facts.role === "standby" ? ", standby of an external primary" : ""
  const title = `${paint.bold(`Cluster ${facts.clusterName}`)}${uid}: ${facts.phase}${kind}${standby}`
  const safe = facts.clusterUID === null ? [] : safetyLines(facts.safety)
  const pauses = pauseLines(facts).map(paint.bad)
  return [title, ...pauses, primaryLine(facts, paint), ...safe].join("\n")
}

/** Loud, because nobody is replaced while they stand there. */
export function pauseLines(facts: Facts): readonly string[] {
  const moving =
    facts.moving === null
      ? []
      : [`MOVING: ${facts.moving}; nobody is replaced until it has ended: stolon ctl store migrate`]
  const whole =
    facts.paused === null
      ? []
      : [
          `PAUSED: ${describePause(facts.paused)}; no automatic failover, PostgreSQL is left as it is; to go on: stolon ctl resume`,
        ]
  const single = facts.members.flatMap(({ keeper, paused }) =>
    paused === null
      ? []
      : [
          `PAUSED: keeper ${keeper} is ${describePause(paused)}; to go on: stolon ctl resume ${keeper}`,
        ],
  )
  return [...moving, ...whole, ...single]
}

function primaryLine(facts: Facts, paint: Paint): string {
  const { primary } = facts
  if (primary === null) return `Primary: ${paint.bad("none")}`
  const who = primary.keeper ?? primary.db
  const { switchover } = facts.safety
  if (!primary.revoked && !primary.gateOpen && switchover?.phase === "hold")
    return `Primary: ${paint.bold(who)}, ${paint.bad("clients are held for a switchover")}`
  if (primary.revoked) return `Primary: ${paint.bad(`none (the one on ${who} is deposed)`)}`
  const gate = primary.gateOpen
    ? paint.good("open to clients through proxies")
    : paint.bad("not open to clients yet")
  return `Primary: ${paint.bold(who)}, ${gate}`
}

export function section(
  title: string,
  rows: readonly (readonly string[])[],
  paint: Paint,
  empty: string,
): string {
  const lines = rows.length === 0 ? [empty] : columns(rows)
  return `${paint.bold(title)}\n${lines.map((line) => `  ${line}`).join("\n")}`
}

const list = (title: string, items: readonly string[], paint: Paint): readonly string[] =>
  items.length === 0
    ? []
    : [`${paint.bold(title)}\n${items.map((item) => `  - ${item}`).join("\n")}`]

function memberRows(facts: Facts): readonly (readonly string[])[] {
  if (facts.members.length === 0) return []
  const titles = ["KEEPER", "ROLE", "STATE", "TL", "POSITION", "LAG", "FOLLOWS", "ADDRESS", "PG"]
  return [titles, ...facts.members.map(memberRow)]
}

/** The columns that every table of members begins with: KEEPER, ROLE, STATE, TL, POSITION, LAG. */
export const memberCells = (member: Member): readonly string[] => [
  member.keeper,
  member.role,
  stateOf(member),
  member.timeline === null ? "-" : String(member.timeline),
  member.position === null ? "-" : formatLsn(member.position),
  member.lagBytes === null ? "-" : bytes(member.lagBytes),
]

const memberRow = (member: Member): readonly string[] => [
  ...memberCells(member),
  member.follows ?? "-",
  member.address ?? "-",
  member.version ?? "-",
]

/** One or a few words: the worst thing that is true. */
export function stateOf(member: Member): string {
  if (member.healthy === null) return "new"
  if (!member.healthy) return member.reporting ? "keeper failed" : "keeper silent"
  if (member.db === null) return "no database"
  if (member.work !== null) return member.work
  if (!member.postgresHealthy) return "PostgreSQL down"
  return member.wanted === member.applied
    ? "running"
    : `applying ${member.applied} → ${member.wanted}`
}

const sentinelRows = (facts: Facts): readonly (readonly string[])[] =>
  facts.sentinels.map(({ uid, leader }) => [uid, leader ? "leader" : ""])

const proxyRow = (proxy: ProxyFact): readonly string[] => [
  proxy.uid,
  proxy.enabled ? "enabled" : "not enabled",
  `generation ${proxy.generation}${proxy.current ? "" : " (behind)"}`,
  proxy.address ?? "",
]

const units = ["B", "kB", "MB", "GB", "TB"] as const
export function bytes(n: bigint): string {
  let value = Number(n)
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

export const statusJson = (facts: Facts): string => `${printJsonIndented(statusValue(facts))}\n`

function statusValue(facts: Facts): Json {
  const { primary } = facts
  return {
    cluster: {
      name: facts.clusterName,
      uid: facts.clusterUID,
      phase: facts.phase,
      role: facts.role,
      synchronous: facts.synchronous,
      paused: pauseValue(facts.paused),
      moving: facts.moving,
    },
    primary:
      primary === null
        ? null
        : {
            keeper: primary.keeper,
            db: primary.db,
            revoked: primary.revoked,
            openToClients: primary.gateOpen,
          },
    members: facts.members.map(memberValue),
    sentinels: facts.sentinels.map(({ uid, leader }) => ({ uid, leader })),
    proxies: facts.proxies.map((proxy) => ({ ...proxy })),
    safety: safetyValue(facts.safety),
    waiting: facts.waiting.map(({ code: why, text }) => ({ code: why, text })),
    warnings: facts.warnings,
  }
}

const memberValue = (member: Member): Json => ({
  keeper: member.keeper,
  role: member.role,
  state: stateOf(member),
  healthy: member.healthy,
  reporting: member.reporting,
  postgresHealthy: member.postgresHealthy,
  db: member.db,
  address: member.address,
  generationWanted: member.wanted,
  generationApplied: member.applied,
  timeline: member.timeline,
  position: member.position === null ? null : formatLsn(member.position),
  lagBytes: member.lagBytes,
  follows: member.follows,
  postgresVersion: member.version,
  work: member.work,
  forceFail: member.forceFail,
  canBeMaster: member.canBeMaster,
  paused: pauseValue(member.paused),
  pendingRestart: member.pendingRestart,
})

const pauseValue = (pause: Pause | null): Json =>
  pause === null ? null : { since: pause.since, by: pause.by, reason: pause.reason }
