/**
 * Changing cluster data: read, edit, compare-and-swap, and again when somebody else was faster. A
 * write whose answer was lost is neither repeated blindly nor called a failure: the data are read
 * again and our own write is recognised by its mark (protocol W5).
 *
 * It must never repeat a change that does harm twice (`once`).
 */
import type { ClusterData } from "#model/cluster.ts"
import type { Nonce } from "#model/ids.ts"
import { type Change, signed } from "#ctl/edit.ts"
import type { Refused } from "#ctl/spec.ts"
import { type Store, StoreError, type Version } from "#port/store.ts"

export type Committed =
  | { readonly kind: "written"; readonly data: ClusterData }
  | { readonly kind: "unchanged"; readonly message: string }
  | Refused
  | { readonly kind: "absent" }
  /** Somebody else was faster, every time. */
  | { readonly kind: "conflicts" }
  /** The write may or may not have been applied, and reading again does not tell. */
  | { readonly kind: "uncertain"; readonly why: string }

export interface CommitOptions {
  /** Marks the write; one for all tries of one command. */
  readonly nonce: Nonce
  /** What must hold of the data before they are edited: the broken rule, or null. */
  readonly check: (data: ClusterData) => string | null
}

const triesMax = 3

/** A write of ours without an answer. */
interface Lost {
  readonly why: string
  readonly over: Version
}

export async function commit(
  store: Store,
  change: Change,
  options: CommitOptions,
  signal: AbortSignal,
): Promise<Committed> {
  let lost: Lost | null = null
  // one reading more than writes: the last answer, too, may be lost
  for (let tries = 0; tries <= triesMax; tries++) {
    const reading = await readAgain(store, lost, signal)
    if ("why" in reading) return { kind: "uncertain", why: reading.why }
    if (reading.kind === "absent") return { kind: "absent" }
    const { data, version } = reading
    const seen: Committed | null =
      lost === null ? null : recognise(data, version, lost, change, options)
    if (seen !== null) return seen
    if (tries === triesMax) break
    const broken = options.check(data)
    if (broken !== null) return { kind: "refused", message: broken }
    const edited = change.edit(data)
    if (edited.kind !== "edited") return edited
    const next = signed(edited.data, options.nonce)
    const result = await store.write(next, { kind: "version", version }, null, signal)
    if (result.kind === "written") return { kind: "written", data: next }
    if (result.kind === "unknown") lost = { why: result.why, over: version }
  }
  return lost === null ? { kind: "conflicts" } : { kind: "uncertain", why: lost.why }
}

async function readAgain(
  store: Store,
  lost: Lost | null,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<Store["read"]>> | { readonly why: string }> {
  if (lost === null) return store.read(signal)
  try {
    return await store.read(signal)
  } catch (error) {
    if (error instanceof StoreError) return { why: `${lost.why}; then: ${error.message}` }
    throw error
  }
}

/** What the data say of our lost write; null: it is safe to try again. */
function recognise(
  data: ClusterData,
  version: Version,
  lost: Lost,
  change: Change,
  options: CommitOptions,
): Committed | null {
  if (data.cluster.status.writer === options.nonce) return { kind: "written", data }
  // nothing was written since: the same compare-and-swap again is applied at most once, whichever
  // comes first
  if (version === lost.over) return null
  // the leader has written since, and its mark stands over ours: the effect tells
  if (change.inForce(data)) return { kind: "written", data }
  return change.once ? { kind: "uncertain", why: lost.why } : null
}
