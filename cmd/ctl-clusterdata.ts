/**
 * `ctl clusterdata read` and `write`: the whole document, for backups and for moving a cluster to
 * another store.
 */
import { readCommand, writeCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import { ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { DocumentError, same } from "#model/codec.ts"
import { JsonError, printJsonIndented } from "#model/json.ts"
import { removal } from "#ctl/confirmation.ts"
import type { Reading } from "#port/store.ts"
import { Failure, current, replaceable, session } from "./ctl-session.ts"
import { readText } from "./ctl-terminal.ts"
import { print } from "./front.ts"

export const read = (invocation: Invocation): Promise<number> =>
  session(readCommand, invocation, async (it) => {
    const { data } = await current(it)
    const text = it.values.pretty
      ? printJsonIndented(ClusterData.encode(data))
      : encodeClusterData(data)
    await print(`${text}\n`)
    return 0
  })

export const write = (invocation: Invocation): Promise<number> =>
  session(writeCommand, invocation, async (it) => {
    const { file, yes } = it.values
    const data = decoded(await readText(file === "" ? "-" : file))
    const old = await replaceable(it)
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

const isOurs = (data: ClusterData, reading: Reading): boolean =>
  reading.kind === "found" && same(ClusterData, reading.data, data)

function decoded(text: string): ClusterData {
  try {
    if (text.trim() === "") throw new JsonError("unexpected end of JSON input")
    const data = decodeClusterData(text)
    if (data === null) throw new JsonError("the document is null")
    return data
  } catch (error) {
    if (error instanceof JsonError || error instanceof DocumentError)
      throw new Failure(`invalid cluster data: ${error.message}`)
    throw error
  }
}
