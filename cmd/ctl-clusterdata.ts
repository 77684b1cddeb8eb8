/**
 * `ctl clusterdata read` and `write`: the whole document, for backups and for moving a cluster to
 * another store.
 */
import { readCommand, writeCommand } from "#cli/ctl.ts"
import type { Flags } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { ClusterData, decodeClusterData, decodeLoosely } from "#model/cluster.ts"
import { DocumentError, same } from "#model/codec.ts"
import { goDecodeError } from "#model/go-error.ts"
import { describeTrouble, scanJson } from "#model/json-scan.ts"
import { type Json, JsonError, isObject, printJson, printJsonIndented } from "#model/json.ts"
import { removal } from "#ctl/confirmation.ts"
import type { Manner } from "#ctl/spec.ts"
import type { Reading } from "#port/store.ts"
import { missingIn } from "./ctl-go-store.ts"
import { isDryRun, showChange } from "./ctl-dry-run.ts"
import { Failure, type Session, current, replaceable, session } from "./ctl-session.ts"
import { readText } from "./ctl-terminal.ts"
import { print } from "./front.ts"

export const read = (invocation: Invocation): Promise<number> =>
  session(readCommand, invocation, async (it) => {
    const { data } = await current(it)
    // Go shows parts that are not there as null
    const missing = missingIn(data).map((part): [string, Json] => [part, null])
    const encoded = ClusterData.encode(data)
    const shown = isObject(encoded) ? { ...encoded, ...Object.fromEntries(missing) } : encoded
    await print(`${it.values.pretty ? printJsonIndented(shown) : printJson(shown)}\n`)
    return 0
  })

export const write = (invocation: Invocation): Promise<number> =>
  session(writeCommand, invocation, async (it) => {
    const { file, yes } = it.values
    const data = decoded(await readText(file === "" ? "-" : file), it.manner)
    const old = await replaceable(it)
    if (isDryRun(it)) {
      await showChange(await replaced(it), data)
      return 0
    }
    if (old.isThere && !yes)
      throw new Failure("WARNING: cluster data already available use --yes to override")
    if (old.isThere) await print(removal)
    const store = await it.store()
    const result = await store.write(data, old.expected, null, it.signal)
    const told = "failed to write cluster data into new store"
    if (result.kind === "conflict")
      throw new Failure(`${told} somebody else changed it meanwhile; nothing was written`)
    if (result.kind === "unknown" && !isOurs(data, await store.read(it.signal)))
      throw new Failure(`${told} no answer (${result.why}); it may still be applied`)
    await print("successfully wrote cluster data into the new store\n")
    return 0
  })

/** What stands there, as far as it can be read. */
async function replaced<F extends Flags>(it: Session<F>): Promise<ClusterData | null> {
  const old = await replaceable(it)
  if (!old.isThere || old.unreadable !== null) return null
  const reading = await (await it.store()).read(it.signal)
  return reading.kind === "found" ? reading.data : null
}

const isOurs = (data: ClusterData, reading: Reading): boolean =>
  reading.kind === "found" && same(ClusterData, reading.data, data)

/** A Go name takes what Go's decoder takes, and fills in the parts that may be missing there. */
function decoded(text: string, manner: Manner): ClusterData {
  const refused = (why: string): Failure => new Failure(`invalid cluster data: ${why}`)
  const scanned = scanJson(text)
  if (manner === "go") {
    const wrong = goDecodeError(text, ClusterData.go)
    if (wrong !== null) throw refused(wrong)
  } else if ("where" in scanned) throw refused(`not valid JSON: ${describeTrouble(text, scanned)}`)
  try {
    const data = manner === "go" ? decodeLoosely(text).data : decodeClusterData(text)
    if (data === null) throw refused("the document is null")
    return data
  } catch (error) {
    if (error instanceof JsonError || error instanceof DocumentError) throw refused(error.message)
    throw error
  }
}
