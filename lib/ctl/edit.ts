/**
 * The changes that `ctl` makes to cluster data, as values: data in, data out or a refusal. Writing
 * them is `cmd/ctl-write.ts`; an edit may be computed several times, on data that changed in
 * between, so it must not remember anything.
 */
import { type ClusterData, type Keeper, dbOfKeeper } from "#model/cluster.ts"
import { Spec, withDefaults } from "#model/spec.ts"
import { same } from "#model/codec.ts"
import { validate } from "#model/validation.ts"
import type { KeeperUID, Nonce } from "#model/ids.ts"
import { sortedKeys } from "#base/order.ts"
import { nearest } from "#base/text.ts"
import { lastHope } from "./last-hope.ts"
import { type Manner, type Refused, patchSpec, parseSpec, transition } from "./spec.ts"

export type Edit = (data: ClusterData) => Edited
export type Edited =
  | { readonly kind: "edited"; readonly data: ClusterData }
  /** Nothing to do; `message` says why. */
  | { readonly kind: "unchanged"; readonly message: string }
  | Refused

/** An edit, and what is needed to handle an answer that got lost. */
export interface Change {
  readonly edit: Edit
  /** Whether data that others have written since show the effect of the edit. */
  readonly inForce: (data: ClusterData) => boolean
  /**
   * True: doing it twice is not the same as doing it once (a keeper would be failed again after it
   * came back).
   */
  readonly once: boolean
  /** True: it may start from data whose specification breaks the rules, since it replaces it. */
  readonly repairs: boolean
}

/**
 * A change of the specification: in force when it changes nothing any more; doing it again does no
 * harm.
 */
export const specChange = (edit: Edit, manner: Manner): Change => ({
  edit,
  repairs: manner === "strict",
  inForce: (data) => {
    const edited = edit(data)
    if (edited.kind !== "edited") return edited.kind === "unchanged"
    return same(Spec, edited.data.cluster.spec, data.cluster.spec)
  },
  once: false,
})

export const failChange = (uid: KeeperUID, manner: Manner): Change => ({
  edit: failKeeper(uid, manner),
  repairs: false,
  inForce: (data) => data.keepers.get(uid)?.status.forceFail === true,
  once: true,
})

/** `evenLast`: also the last copy that could take over from a primary that is down. */
export const removeChange = (uid: KeeperUID, manner: Manner, evenLast = false): Change => ({
  edit: removeKeeper(uid, manner, evenLast),
  repairs: false,
  inForce: (data) => !data.keepers.has(uid),
  once: false,
})

const refused = (message: string): Edited => ({ kind: "refused", message })
const withSpec = (data: ClusterData, spec: Spec): Edited => ({
  kind: "edited",
  data: { ...data, cluster: { ...data.cluster, spec } },
})

/** What every command checks of data that it read. */
export const unusable = (data: ClusterData, manner: Manner): string | null => {
  const broken = validate(data.cluster.spec)
  if (broken === null) return null
  return manner === "go"
    ? `clusterdata validation failed: ${broken}`
    : `the stored specification is invalid: ${broken}; repair it with: stolon ctl update`
}

/** `update`: replace or patch the specification. */
export const updateSpec =
  (text: string, patch: boolean, manner: Manner): Edit =>
  (data) => {
    const stored = data.cluster.spec
    const parsed = patch ? patchSpec(stored, text, manner) : parseSpec(text, manner)
    if (parsed.kind === "refused") return parsed
    const broken = transition(stored, parsed.spec, manner)
    if (broken !== null) return refused(`Cannot update cluster spec: ${broken}`)
    return withSpec(data, parsed.spec)
  }

/** `promote`: the cluster's role becomes master. */
export const promoteCluster =
  (manner: Manner): Edit =>
  (data) => {
    const stored = data.cluster.spec
    if (withDefaults(stored).role === "master")
      return { kind: "unchanged", message: "cluster spec role already set to master" }
    const spec: Spec = { ...stored, role: "master" }
    const broken = transition(stored, spec, manner)
    return broken === null ? withSpec(data, spec) : refused(`Cannot update cluster spec: ${broken}`)
  }

/** `failkeeper`. */
export const failKeeper =
  (uid: KeeperUID, manner: Manner): Edit =>
  (data) => {
    const keeper = data.keepers.get(uid)
    if (keeper === undefined) return refused(noKeeper(data, uid, manner))
    const failed: Keeper = { ...keeper, status: { ...keeper.status, forceFail: true } }
    return { kind: "edited", data: { ...data, keepers: new Map(data.keepers).set(uid, failed) } }
  }

/** `removekeeper`: the keeper and its DB go; never those of the primary. */
export const removeKeeper =
  (uid: KeeperUID, manner: Manner, evenLast = false): Edit =>
  (data) => {
    if (!data.keepers.has(uid)) return refused(noKeeper(data, uid, manner))
    const db = dbOfKeeper(data, uid)
    if (db !== undefined && db.uid === data.cluster.status.master)
      return refused(
        manner === "go"
          ? "keeper assigned db is the current cluster master db."
          : `keeper ${uid} has the primary; move it first: stolon ctl switchover, or if it is dead: stolon ctl failover`,
      )
    const hope = manner === "go" || evenLast ? null : lastHope(data, uid)
    if (hope !== null) return refused(hope)
    const keepers = new Map(data.keepers)
    keepers.delete(uid)
    const dbs = new Map(data.dbs)
    if (db !== undefined) dbs.delete(db.uid)
    return { kind: "edited", data: { ...data, keepers, dbs } }
  }

export const noKeeper = (data: ClusterData, uid: KeeperUID, manner: Manner): string => {
  if (manner === "go") return "keeper doesn't exist"
  const known = sortedKeys(data.keepers)
  const near = nearest(uid, known)
  const advice = near === null ? "" : `; did you mean ${near}?`
  return `there is no keeper ${uid}${advice} (keepers: ${known.join(", ") || "none"})`
}

/** The same data with the mark by which its writer recognises it (protocol W5). */
export const signed = (data: ClusterData, writer: Nonce): ClusterData => ({
  ...data,
  cluster: { ...data.cluster, status: { ...data.cluster.status, writer } },
})
