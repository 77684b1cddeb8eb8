/**
 * `ctl init`: begins a cluster. It may replace one that exists, whose keepers then overwrite their
 * databases; hence the warnings and the question, whose bytes people's scripts wait for.
 *
 * As `stolon ctl init` it looks at the specification before it asks, adds the recommended settings,
 * and writes only over what it showed (compare-and-swap); the go dialect keeps Go's order and its
 * unconditional write.
 */
import { initCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type ClusterData, newClusterData } from "#model/cluster.ts"
import { newCluster as newClusterUID } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { generator } from "#base/random.ts"
import { overwriting, removal } from "#ctl/confirmation.ts"
import { type Manner, broken, newCluster, parseSpec, withRecommended } from "#ctl/spec.ts"
import type { Store } from "#port/store.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { isDryRun, showChange } from "./ctl-dry-run.ts"
import { Failure, type Replaceable, replaceable, session } from "./ctl-session.ts"
import { confirm, readText } from "./ctl-terminal.ts"
import { print, warn } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(initCommand, invocation, async (it) => {
    const [typed, ...more] = it.positionals
    const { file, yes, clusterSpec } = it.values
    const go = it.manner === "go"
    if (more.length > 0) throw new Failure("too many arguments")
    if (!go && typed !== undefined && file !== "")
      throw new Failure(
        "the specification is given twice, as argument and with --file; give it once",
      )
    if (typed !== undefined && clusterSpec !== "")
      throw new Failure(
        "the specification is given twice, as argument and with --cluster-spec; give it once",
      )
    const named = typed ?? (clusterSpec === "" ? undefined : clusterSpec)
    const text = named ?? (file === "" ? null : await readText(file))
    const early = go ? null : initialSpec(text, it.manner)
    const old = await replaceable(it)
    if (old.unreadable !== null)
      await warn(`the current cluster data cannot be read: ${old.unreadable}\n`)
    if (early !== null && isDryRun(it)) {
      await print(old.isThere ? removal : "")
      await showChange(null, newData(early))
      return 0
    }
    await print(`${old.isThere ? removal : ""}${overwriting}`)
    if (!yes && !(await confirm(go))) return 0
    const spec = early ?? initialSpec(text, it.manner)
    await put(await it.store(), newData(spec), old, it.signal)
    return 0
  })

const newData = (spec: Spec): ClusterData =>
  newClusterData(newClusterUID(generator(realChance.seed())), spec, realClock.now().wall)

function initialSpec(text: string | null, manner: Manner): Spec {
  const parsed =
    text === null ? { kind: "spec" as const, spec: newCluster } : parseSpec(text, manner)
  if (parsed.kind === "refused") throw new Failure(parsed.message, parsed.exit)
  const spec = manner === "go" ? parsed.spec : withRecommended(parsed.spec)
  const rule = broken(spec, manner)
  if (rule !== null) throw new Failure(`invalid cluster spec: ${rule}`)
  return spec
}

const triesMax = 10

/**
 * Writes a whole new document. Its random uid tells our own write after a lost answer. A living
 * leader writes the cluster that was asked about all the time: that is no other cluster, so it is
 * tried again over its latest state.
 */
async function put(
  store: Store,
  data: ClusterData,
  old: Pick<Replaceable, "cluster" | "expected">,
  signal: AbortSignal,
  tries = triesMax,
): Promise<void> {
  const result = await store.write(data, old.expected, null, signal)
  if (result.kind === "written") return
  if (result.kind === "conflict" && old.cluster !== null && tries > 1) {
    const now = await store.read(signal)
    if (now.kind === "found" && now.data.cluster.uid === old.cluster) {
      const expected = { kind: "version", version: now.version } as const
      return await put(store, data, { ...old, expected }, signal, tries - 1)
    }
  }
  if (result.kind === "conflict")
    throw new Failure(
      "somebody else changed the cluster data meanwhile; nothing was written; look, then try again",
    )
  const after = await store.read(signal)
  if (after.kind === "found" && after.data.cluster.uid === data.cluster.uid) return
  throw new Failure(
    `cannot update cluster data: no answer (${result.why}); the write may still be applied: look at the status before trying again`,
  )
}
