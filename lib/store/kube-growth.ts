/**
 * How large cluster data becomes once a leader has worked with it. The specification stands in the
 * document once, and what it says of pgHBA and pgParameters again in every DB: what fits today may
 * never fit again (D-90). So whoever is not the leader is refused what the leader could not write.
 *
 * An estimate that errs on the large side; it reads the text only and decides nothing else.
 */
import * as v from "valibot"
import { StoreError } from "#port/store.ts"
import { annotationsMax } from "./kube-objects.ts"

/** The record, names of annotations, statuses that grow by a timeline or a parameter. */
const reserve = 4096

const copied = ["pgParameters", "pgHBA"] as const
const Copied = v.looseObject({
  pgParameters: v.optional(v.unknown()),
  pgHBA: v.optional(v.unknown()),
})
const Document = v.object({
  cluster: v.object({ spec: v.optional(v.nullable(Copied), null) }),
  dbs: v.optional(
    v.nullable(
      v.record(
        v.string(),
        v.object({ spec: v.optional(v.nullable(Copied), null), status: v.optional(v.unknown()) }),
      ),
    ),
    {},
  ),
})

/** Bytes after the specification has reached every DB, and one DB more. */
export function grown(text: string): number {
  const size = Buffer.byteLength(text)
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), Document), text)
  if (!found.success) return size // what is no cluster data does not grow
  const { cluster, dbs } = found.output
  const spec = bytes(cluster.spec)
  const list = Object.values(dbs ?? {})
  const more = list.map((db) => Math.max(0, spec - bytes(db.spec)))
  // parameters are told once more in what the keeper reports
  const reported = bytes({ pgParameters: cluster.spec?.pgParameters, pgHBA: undefined })
  return size + more.reduce((sum, each) => sum + each, 0) + (list.length > 0 ? spec + reported : 0)
}

const bytes = (from: Readonly<Record<string, unknown>> | null | undefined): number =>
  copied.reduce((sum, key) => {
    const value = from?.[key]
    return sum + (value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value)))
  }, 0)

/** Refuses a document that could be stored, but not worked with. */
export function refuseGrowth(text: string): void {
  const size = grown(text)
  if (size + reserve <= annotationsMax) return
  throw new StoreError(
    "denied",
    `the cluster data would grow to about ${size} bytes once its specification has reached every DB; ` +
      `Kubernetes allows ${annotationsMax - reserve}. Nothing was written: shorten pgHBA or pgParameters`,
  )
}
