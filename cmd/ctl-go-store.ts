/**
 * The store as Go's stolonctl sees it: documents that our components refuse are read as far as Go
 * reads them, and what Go refuses is refused in its words, a crash included (reference 1.7;
 * recorded in `test/golden/cli/stored-documents.tsv`). For the go dialect only.
 *
 * It must never write what it read so: a document that lacks a part is written back whole, because
 * a null part crashes Go's sentinels (G13).
 */
import { ClusterData, FormatError, type Part, decodeLoosely } from "#model/cluster.ts"
import { DocumentError } from "#model/codec.ts"
import { goDecodeError, goPanic, goPanicExit } from "#model/go-error.ts"
import { type Reading, type Store, StoreError, type StoredText } from "#port/store.ts"

/** What Go's stolonctl says of a document, and the code with which it ends. */
export class GoRefusal extends Error {
  override readonly name = "GoRefusal"
  constructor(message: string, exit: number, decodes: boolean) {
    super(message)
    this.exit = exit
    this.decodes = decodes
  }
  readonly exit: number
  /** Whether Go's decoder takes the text: then `init` may replace the document. */
  readonly decodes: boolean
}
export const panicked = (): GoRefusal => new GoRefusal(goPanic, goPanicExit, true)

export const goStore = (store: Store): Store => ({
  ...store,
  read: async (signal) => {
    try {
      return await store.read(signal)
    } catch (error) {
      if (error instanceof StoreError && error.document !== null) return asGo(error.document)
      throw error
    }
  },
})

/** The parts that were null where data was read from, per value read. */
const gaps = new WeakMap<ClusterData, readonly Part[]>()
export const missingIn = (data: ClusterData): readonly Part[] => gaps.get(data) ?? []

function asGo({ text, version }: StoredText): Reading {
  const wrong = goDecodeError(text, ClusterData.go)
  if (wrong !== null) throw new GoRefusal(`cannot get cluster data: ${wrong}`, 1, false)
  try {
    const { data, missing } = decodeLoosely(text)
    gaps.set(data, missing)
    return { kind: "found", data, version }
  } catch (error) {
    if (error instanceof FormatError) throw new GoRefusal(error.rule, 1, true)
    if (error instanceof DocumentError && error.path.startsWith("cluster")) throw panicked()
    throw new GoRefusal(`cannot get cluster data: ${reason(error)}`, 1, false)
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))
