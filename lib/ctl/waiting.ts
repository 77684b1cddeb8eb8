/**
 * What the cluster waits for, in sentences, each with the command that helps where there is one
 * (promise P5: `status` says exactly what is being waited for). The most pressing comes first.
 */
import type { Facts, Found, Member } from "./status.ts"
import { withDefaults } from "#model/spec.ts"

/** `code` is stable, for programs; `text` is for people. */
export interface Waiting {
  readonly code: WaitingCode
  readonly text: string
}
export type WaitingCode =
  | "no-cluster"
  | "no-leader"
  | "initializing"
  | "fencing"
  | "no-primary"
  | "failover-requested"
  | "switchover"
  | "gate-closed"
  | "proxy-behind"
  | "keeper-unhealthy"
  | "keeper-silent"
  | "keeper-new"
  | "keeper-idle"
  | "postgres-unhealthy"
  | "not-converged"
  | "work"
  | "not-synchronous"
  | "force-fail"

type Known = Omit<Facts, "waiting" | "warnings">

export function waiting(found: Found, facts: Known): readonly Waiting[] {
  const { data } = found
  if (data === null)
    return [{ code: "no-cluster", text: "a cluster in the store; begin one with: stolon ctl init" }]
  return [
    ...leadership(facts),
    ...beginning(facts),
    ...primary(found, facts),
    ...gate(found, facts),
    ...facts.members.flatMap((member) => ofMember(member)),
    ...spares(found, facts),
    ...synchrony(found, facts),
  ]
}

function leadership(facts: Known): readonly Waiting[] {
  if (facts.leader !== null) return []
  const text =
    facts.sentinels.length === 0
      ? "a sentinel; none reports, so nobody decides: start one with stolon sentinel"
      : "the sentinels to elect a leader; nothing is decided meanwhile"
  return [{ code: "no-leader", text }]
}

function beginning(facts: Known): readonly Waiting[] {
  if (facts.phase !== "initializing") return []
  const chosen = facts.members.find((member) => member.db !== null)
  if (chosen !== undefined) {
    const work = chosen.work === null ? "" : ` (${chosen.work})`
    return [
      { code: "initializing", text: `keeper ${chosen.keeper} to initialise the cluster${work}` },
    ]
  }
  return [
    {
      code: "initializing",
      text:
        facts.members.length === 0
          ? "a keeper to initialise the cluster; none reports: start one with stolon keeper"
          : "the leader to choose a keeper that initialises the cluster",
    },
  ]
}

function primary(found: Found, facts: Known): readonly Waiting[] {
  const request = found.data?.cluster.status.failoverRequest
  const requested: readonly Waiting[] =
    request === undefined
      ? switching(facts)
      : [
          {
            code: "failover-requested",
            text: `the leader to act on the requested failover${request.keeper === "" ? "" : ` to ${request.keeper}`}`,
          },
        ]
  if (facts.phase !== "normal") return requested
  if (facts.primary === null)
    return [...requested, { code: "no-primary", text: "a primary; no keeper has one" }]
  if (!facts.primary.revoked) return requested
  const who = facts.primary.keeper ?? facts.primary.db
  return [
    ...requested,
    {
      code: "fencing",
      text: `proof that the deposed primary on ${who} is stopped; then the most advanced standby that may be elected takes over (stolon ctl explain)`,
    },
  ]
}

function switching({ safety: { switchover } }: Known): readonly Waiting[] {
  if (switchover === null) return []
  const to = switchover.keeper === "" ? "" : ` to ${switchover.keeper}`
  const on = switchover.waiting === undefined ? "" : `; it waits: ${switchover.waiting}`
  const text = `the leader to finish the switchover${to} (${switchover.phase || "asked"}${on})`
  return [{ code: "switchover", text }]
}

function gate(found: Found, facts: Known): readonly Waiting[] {
  const { data } = found
  if (data === null || facts.phase !== "normal") return []
  const behind: readonly Waiting[] = facts.proxies
    .filter((proxy) => !proxy.current)
    .map((proxy) => ({
      code: "proxy-behind",
      text: `proxy ${proxy.uid} to apply routes ${data.proxy.generation} (it has ${proxy.generation})`,
    }))
  if (facts.primary === null || facts.primary.revoked || facts.primary.gateOpen) return behind
  if (facts.safety.switchover?.phase === "hold") return behind
  const who = facts.primary.keeper ?? facts.primary.db
  return [
    ...behind,
    {
      code: "gate-closed",
      text: `the primary on ${who} to be ready; proxies let no client through yet`,
    },
  ]
}

function ofMember(member: Member): readonly Waiting[] {
  const { keeper } = member
  const forced: readonly Waiting[] = member.forceFail
    ? [{ code: "force-fail", text: `the leader to treat keeper ${keeper} as failed, as was asked` }]
    : []
  if (member.healthy === null)
    return [{ code: "keeper-new", text: `the leader to take in keeper ${keeper}, which reports` }]
  if (!member.healthy)
    return [
      ...forced,
      {
        code: member.reporting ? "keeper-unhealthy" : "keeper-silent",
        text: member.reporting
          ? `keeper ${keeper} to be healthy again`
          : `keeper ${keeper} to report again; if it is gone for good: stolon ctl removekeeper ${keeper}`,
      },
    ]
  return [...forced, ...ofDatabase(member)]
}

function ofDatabase(member: Member): readonly Waiting[] {
  const { keeper } = member
  if (member.db === null) return []
  if (member.work !== null) return [{ code: "work", text: `keeper ${keeper}: ${member.work}` }]
  if (!member.postgresHealthy)
    return [{ code: "postgres-unhealthy", text: `PostgreSQL of keeper ${keeper} to come up` }]
  if (member.wanted !== member.applied)
    return [
      {
        code: "not-converged",
        text: `keeper ${keeper} to apply generation ${member.wanted} (it has ${member.applied})`,
      },
    ]
  return []
}

/** Keepers without a database are waited for only while there are fewer standbys than wanted. */
function spares({ data }: Found, facts: Known): readonly Waiting[] {
  if (data === null) return []
  const standbys = facts.members.filter(({ role }) => role.endsWith("standby")).length
  if (standbys >= withDefaults(data.cluster.spec).maxStandbysPerSender) return []
  return facts.members
    .filter(({ db, healthy }) => db === null && healthy === true)
    .map(({ keeper }) => ({
      code: "keeper-idle",
      text: `the leader to give keeper ${keeper} a database`,
    }))
}

function synchrony(found: Found, facts: Known): readonly Waiting[] {
  const { data } = found
  if (data === null || !facts.synchronous || facts.primary === null) return []
  const { minSynchronousStandbys } = withDefaults(data.cluster.spec)
  const have = facts.members.filter((member) => member.role === "synchronous standby").length
  if (have >= minSynchronousStandbys) return []
  return [
    {
      code: "not-synchronous",
      text: `synchronous standbys: ${have} of at least ${minSynchronousStandbys}; commits wait until there are enough`,
    },
  ]
}
