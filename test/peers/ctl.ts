/**
 * Go's `stolonctl` as far as it writes: it reads the whole document into its structs, changes what
 * was asked for and writes the rest as it understood it. One compare-and-swap, no second try
 * (D-29).
 */
import { make } from "./codec.ts"
import { type GoData, GoSpec, readGo, writeGo } from "./documents.ts"
import type { GoStore } from "./store.ts"

export type GoChange = (data: GoData) => void

/** False: the key was modified in between. */
export async function goCtl(
  store: GoStore,
  change: GoChange,
  signal: AbortSignal,
): Promise<boolean> {
  const reading = await store.read(signal)
  const data = readGo(reading.text)
  if (data === null) throw new Error("no cluster data available")
  change(data)
  return store.swap(writeGo(data), reading, signal)
}

export const update =
  (patch: Partial<GoSpec>): GoChange =>
  (data) =>
    void (data.cluster.spec = { ...make(GoSpec), ...data.cluster.spec, ...patch })

export const promoteCluster: GoChange = (data) => void (data.cluster.spec.role = "master")

export const failKeeper =
  (uid: string): GoChange =>
  ({ keepers }) => {
    const keeper = keepers.get(uid)
    if (keeper === undefined) throw new Error("keeper doesn't exist")
    keeper.status.forceFail = true
  }

export const removeKeeper =
  (uid: string): GoChange =>
  ({ keepers, dbs, cluster }) => {
    if (!keepers.has(uid)) throw new Error("keeper doesn't exist")
    const db = [...dbs.values()].find(({ spec }) => spec.keeperUID === uid)
    if (db !== undefined && db.uid === cluster.status.master)
      throw new Error("keeper assigned db is the current cluster master db.")
    keepers.delete(uid)
    if (db !== undefined) dbs.delete(db.uid)
  }
