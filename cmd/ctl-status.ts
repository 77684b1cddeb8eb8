/**
 * `ctl status`: reads everything once and prints it. The facts and their layout are in `lib/ctl`.
 */
import { statusCommand } from "#cli/ctl.ts"
import type { Invocation } from "#cli/invocation.ts"
import type { Flags } from "#cli/flag.ts"
import { unusable } from "#ctl/edit.ts"
import { type GoFound, crashes, goStatusJson, goStatusText } from "#ctl/status-go.ts"
import { type Found, facts } from "#ctl/status.ts"
import { colored, plain, statusJson, statusText } from "#ctl/status-text.ts"
import { printJsonIndented } from "#model/json.ts"
import { StoreError } from "#port/store.ts"
import { GoRefusal, missingIn, panicked } from "./ctl-go-store.ts"
import { Failure, type Session, absent, explained, session } from "./ctl-session.ts"
import { print } from "./front.ts"

export const main = (invocation: Invocation): Promise<number> =>
  session(statusCommand, invocation, async (it) => {
    const { format } = it.values
    if (it.manner === "go") return goStatus(it, format)
    if (format === "json") return jsonStatus(it)
    const known = facts(it.choice.clusterName, await find(it))
    const paint = process.stdout.isTTY && !process.env["NO_COLOR"] ? colored : plain
    await print(statusText(known, paint))
    return known.clusterUID === null ? 1 : 0
  })

/** A program reads standard output: trouble is an object there too, and the exit code says so. */
async function jsonStatus<F extends Flags>(it: Session<F>): Promise<number> {
  try {
    const known = facts(it.choice.clusterName, await find(it))
    await print(statusJson(known))
    return known.clusterUID === null ? 1 : 0
  } catch (error) {
    const trouble = explained(error, it.choice, false)
    if (trouble === null) throw error
    const code = error instanceof StoreError ? error.code : "failed"
    await print(`${printJsonIndented({ error: { code, message: trouble.message } })}\n`)
    return trouble.exit
  }
}

/** In Go's order: leader and infos, then the cluster data. */
async function find<F extends Flags>(it: Session<F>): Promise<Found> {
  const store = await it.store()
  const [leader, infos] = await Promise.all([store.leader(it.signal), store.infos(it.signal)])
  const reading = await store.read(it.signal)
  return { leader, infos, data: reading.kind === "found" ? reading.data : null }
}

/**
 * Everything is gathered before the format is looked at. Errors in JSON are an empty object and
 * success, as Go has it (a marshalled error value); scripts know.
 */
async function goStatus<F extends Flags>(it: Session<F>, format: string): Promise<number> {
  const gathered = await gather(it)
  if (format !== "" && format !== "text" && format !== "json")
    throw new Failure(`unrecognised output format ${format}`)
  if (gathered.kind === "failed") {
    const { error } = gathered
    if (format !== "json" || (error instanceof GoRefusal && error.exit !== 1)) throw error
    await print("{}\n")
    return 0
  }
  const { found } = gathered
  await print(format === "json" ? `${goStatusJson(found)}\n` : goStatusText(found))
  return 0
}

type Gathered =
  | { readonly kind: "found"; readonly found: GoFound }
  | { readonly kind: "failed"; readonly error: Failure | GoRefusal | StoreError }

async function gather<F extends Flags>(it: Session<F>): Promise<Gathered> {
  try {
    const found = await find(it)
    const { data } = found
    if (data === null) return { kind: "failed", error: new Failure(absent("go", it.choice)) }
    const broken = unusable(data, "go")
    if (broken !== null) return { kind: "failed", error: new Failure(broken) }
    if (crashes(data)) return { kind: "failed", error: panicked() }
    const available = !missingIn(data).includes("dbs")
    return { kind: "found", found: { ...found, data, available } }
  } catch (error) {
    if (error instanceof Failure || error instanceof GoRefusal || error instanceof StoreError)
      return { kind: "failed", error }
    throw error
  }
}
