/**
 * What `stolon dev` shows on a terminal: who is who, what is being waited for, how to connect and
 * how to break it. A function of the facts of `status` and of what the supervisor knows of its
 * processes.
 *
 * Every command shown can be pasted as it is: pids and paths are the real ones at that moment.
 */
import type { KeeperUID } from "#model/ids.ts"
import type { Facts, Member } from "./status.ts"
import { type Paint, memberCells, pauseLines, plain } from "./status-text.ts"
import { columns } from "./table.ts"

/** The processes of one keeper; null: not running now. */
export interface KeeperPids {
  readonly keeper: number | null
  readonly guardian: number | null
  readonly postgres: number | null
}
/** Another process of the supervisor. */
export interface Part {
  readonly name: string
  readonly pid: number | null
  /** What it says of itself: `leads`, `127.0.0.1:5432`. */
  readonly note: string
}

export interface Scene {
  readonly facts: Facts
  readonly keepers: ReadonlyMap<KeeperUID, KeeperPids>
  readonly parts: readonly Part[]
  /** Null: clients cannot write yet. */
  readonly ready: boolean
  /** Arguments to psql. */
  readonly connection: string
  /** `--cluster-name … --store-endpoints …` for `stolon ctl`. */
  readonly storeFlags: string
  /** How this executable is called. */
  readonly program: string
  readonly directory: string
}

export function screen(scene: Scene, paint: Paint = plain): readonly string[] {
  return [
    headline(scene, paint),
    ...pauseLines(scene.facts).map(paint.bad),
    "",
    ...indent(columns(memberRows(scene))),
    "",
    ...indent(columns(partRows(scene))),
    ...waitingLines(scene, paint),
    "",
    ...columns(commandRows(scene)),
    `Files     ${scene.directory}`,
    "Ctrl-C stops everything; the same command goes on from there",
  ]
}

const indent = (lines: readonly string[]): readonly string[] => lines.map((line) => `  ${line}`)

function headline({ facts, ready }: Scene, paint: Paint): string {
  const mode = facts.synchronous ? "synchronous" : "asynchronous"
  const state = ready ? paint.good("clients can write") : paint.bad("clients cannot write yet")
  return `${paint.bold(`Cluster ${facts.clusterName}`)}: ${mode} replication, ${state}`
}

const titles = [
  "KEEPER",
  "ROLE",
  "STATE",
  "TL",
  "POSITION",
  "LAG",
  "ADDRESS",
  "PG PID",
  "KEEPER PID",
]
const memberRows = ({ facts, keepers }: Scene): readonly (readonly string[])[] => [
  titles,
  ...facts.members.map((member) => [
    ...memberCells(member),
    member.address ?? "-",
    pid(keepers.get(member.keeper)?.postgres),
    pid(keepers.get(member.keeper)?.keeper),
  ]),
]
const pid = (it: number | null | undefined): string => String(it ?? "-")

const partRows = ({ parts }: Scene): readonly (readonly string[])[] =>
  parts.map(({ name, pid: process, note }) => [name, pid(process), note])

function waitingLines({ facts }: Scene, paint: Paint): readonly string[] {
  if (facts.waiting.length === 0) return []
  return ["", paint.bold("Waiting for"), ...indent(facts.waiting.map(({ text }) => `- ${text}`))]
}

function commandRows(scene: Scene): readonly (readonly string[])[] {
  const { facts, program, storeFlags, connection } = scene
  const rows: [string, string, string][] = [["Connect", `psql '${connection}'`, ""]]
  const primary = facts.members.find((member) => member.role === "primary")
  for (const [line, doc] of primary === undefined ? [] : breakages(scene, primary))
    rows.push([rows.length === 1 ? "Break it" : "", line, doc])
  rows.push(["Look", `${program} ctl status ${storeFlags}`, ""])
  rows.push(["Switch", `${program} ctl switchover ${storeFlags}`, ""])
  return wide(rows)
}

/**
 * Long commands have their explanation, if any, behind them anyway; columns are for the short ones.
 */
const wide = (rows: readonly (readonly [string, string, string])[]): readonly string[][] =>
  rows.map(([head, line, doc]) => [
    head.padEnd(8),
    doc === "" ? line : `${line.padEnd(28)}  ${doc}`,
  ])

/** Commands that break something, most harmless first. */
function breakages({ keepers }: Scene, primary: Member): readonly (readonly [string, string])[] {
  const pids = keepers.get(primary.keeper)
  if (pids === undefined || pids.postgres === null || pids.keeper === null) return []
  const { keeper, guardian, postgres } = pids
  const node = [keeper, guardian, postgres].filter((it) => it !== null).join(" ")
  return [
    [`kill -9 ${postgres}`, "the primary's PostgreSQL dies: it starts again in place"],
    [`kill -9 ${node}`, "its whole node dies: a standby takes over, the node is back after 8 s"],
    [
      `kill -STOP ${keeper}`,
      `its keeper hangs: PostgreSQL is stopped, a standby takes over (kill -CONT ${keeper})`,
    ],
  ]
}
