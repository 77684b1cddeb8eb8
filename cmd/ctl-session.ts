/**
 * What the subcommands of `ctl` share: flags checked, the store opened and closed again, and
 * failures told in one place, in the words of the dialect. A failure here is for a person to read:
 * it says what was being done, to what, and why it did not work.
 */
import type { ClusterUID } from "#model/ids.ts"
import { stat } from "node:fs/promises"
import type { Command, Dialect, Flags, Values } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import { type StoreChoice, checkStore } from "#cli/store.ts"
import type { storeFlags } from "#cli/common.ts"
import type { ClusterData } from "#model/cluster.ts"
import { type Expected, type Store, StoreError, type Version } from "#port/store.ts"
import { unusable } from "#ctl/edit.ts"
import { fileTrouble } from "#system/errno.ts"
import type { Manner } from "#ctl/spec.ts"
import { GoRefusal, goStore } from "./ctl-go-store.ts"
import { begin, warn } from "./front.ts"

/** Ends the command with a message on standard error. */
export class Failure extends Error {
  override readonly name = "Failure"
  constructor(message: string, exit = 1) {
    super(message)
    this.exit = exit
  }
  readonly exit: number
}

/** A subcommand at work. */
export interface Session<F extends Flags> {
  readonly values: Values<F>
  readonly positionals: readonly string[]
  readonly changed: ReadonlyMap<string, string>
  readonly dialect: Dialect
  readonly manner: Manner
  readonly program: string
  readonly choice: StoreChoice
  /** Opens the store at first use. */
  readonly store: () => Promise<Store>
  readonly signal: AbortSignal
}

/** Runs `work` with everything set up; the result is the exit code. */
export async function session<F extends Flags>(
  command: Command<F & typeof storeFlags>,
  invocation: Invocation,
  work: (session: Session<F & typeof storeFlags>) => Promise<number>,
  /** Other ways to say which store. */
  meant: <V extends Values<F & typeof storeFlags>>(values: V) => V = (values) => values,
): Promise<number> {
  const { dialect, program } = invocation
  const go = dialect === "go"
  const begun = await begin(command, invocation)
  if (begun.kind === "exit") return begun.code
  const { positionals, changed } = begun
  const values = meant(begun.values)
  const checked = checkStore(values, dialect)
  const kubeconfig = go ? await kubeconfigTrouble(values) : null
  if (kubeconfig !== null) return failed(program, go, kubeconfig)
  if (checked.kind === "refused") return failed(program, go, checked.message)
  await using stack = new AsyncDisposableStack()
  let opened: Promise<Store> | null = null
  const store = (): Promise<Store> => {
    opened ??= open(checked.store)
      .then((it) => stack.use(it))
      .then((it) => (go ? goStore(it) : it))
    return opened
  }
  const manner = go ? "go" : "strict"
  const signal = new AbortController().signal
  try {
    return await work({
      values,
      positionals,
      changed,
      dialect,
      manner,
      program,
      choice: checked.store,
      store,
      signal,
    })
  } catch (error) {
    const trouble = explained(error, checked.store, go)
    if (trouble === null) throw error
    return await failed(program, go, trouble.message, trouble.exit)
  }
}

/** What a person is told of a failure; null: it is a defect of this program. */
export function explained(
  error: unknown,
  choice: StoreChoice,
  go: boolean,
): { readonly message: string; readonly exit: number } | null {
  if (error instanceof Failure || error instanceof GoRefusal)
    return { message: error.message, exit: error.exit }
  return error instanceof StoreError ? { message: storeTrouble(error, choice, go), exit: 1 } : null
}

/** Go looks for the file before it does anything else with the Kubernetes store. */
async function kubeconfigTrouble(values: object): Promise<string | null> {
  const path = "kubeconfig" in values ? values.kubeconfig : ""
  const kubernetes = "storeBackend" in values && values.storeBackend === "kubernetes"
  if (!kubernetes || typeof path !== "string" || path === "") return null
  return stat(path).then(
    () => null,
    (error: unknown) => fileTrouble("stat", path, error),
  )
}

async function open(choice: StoreChoice): Promise<Store> {
  const { openStore } = await import("#store/open.ts")
  return openStore(choice)
}

async function failed(program: string, go: boolean, message: string, exit = 1): Promise<number> {
  await warn(go ? `${message}\n` : `${program}: ${message}\n`)
  return exit
}

/** Go puts "cannot get cluster data" before whatever went wrong; ours says which store, too. */
function storeTrouble(error: StoreError, choice: StoreChoice, go: boolean): string {
  if (go) {
    if (error.code === "invalid") return error.message
    if (choice.backend === "kubernetes" && error.document === null)
      return `cannot get cluster data: failed to get latest version of configmap: ${error.message}`
    // all that Go says of any store that does not answer, TLS trouble included
    const why = error.code === "unavailable" ? "context deadline exceeded" : error.message
    return `cannot get cluster data: ${why}`
  }
  if (error.code === "invalid" && choice.backend === "kubernetes") return error.message
  if (error.code === "invalid")
    return `--store-endpoints: ${error.message.replace(/^cannot create kv store: /, "")}`
  const remedy =
    error.code === "malformed" || error.code === "format"
      ? "; to replace them: stolon ctl clusterdata write --yes -f BACKUP, or stolon ctl init"
      : ""
  const where = choice.endpoints.length === 0 ? "" : ` at ${choice.endpoints.join(",")}`
  return `the store (${choice.backend}${where}) cannot be used: ${error.message}${remedy}`
}

/** Cluster data that a command can work on. */
export interface Current {
  readonly data: ClusterData
  readonly version: Version
}

/** Reads the cluster data; none, or data that breaks the rules, is a failure. */
export async function current<F extends Flags>(it: Session<F>): Promise<Current> {
  const reading = await (await it.store()).read(it.signal)
  if (reading.kind === "absent") throw new Failure(absent(it.manner, it.choice))
  const broken = unusable(reading.data, it.manner)
  if (broken !== null) throw new Failure(broken)
  return { data: reading.data, version: reading.version }
}

/** What stands where a whole new document shall be written. */
export interface Replaceable {
  /** The cluster that is there; null when there is none, or nobody can read it. */
  readonly cluster: ClusterUID | null
  readonly isThere: boolean
  /** Why what is there cannot be read; null: it can, or nothing is there. */
  readonly unreadable: string | null
  /** Overwrites exactly what was looked at; Go's programs overwrite anything. */
  readonly expected: Expected
}

/**
 * A document that cannot be used may be replaced all the same: otherwise nothing could ever repair
 * it (not in the go dialect).
 */
export async function replaceable<F extends Flags>(it: Session<F>): Promise<Replaceable> {
  const go = it.manner === "go"
  try {
    const reading = await (await it.store()).read(it.signal)
    const exact: Expected =
      reading.version === null ? { kind: "absent" } : { kind: "version", version: reading.version }
    return {
      isThere: reading.kind === "found",
      cluster: reading.kind === "found" ? reading.data.cluster.uid : null,
      unreadable: null,
      expected: go ? { kind: "anything" } : exact,
    }
  } catch (error) {
    if (error instanceof GoRefusal && error.decodes)
      return { isThere: true, cluster: null, unreadable: null, expected: { kind: "anything" } }
    const broken = error instanceof StoreError && ["malformed", "format"].includes(error.code)
    if (go || !broken) throw error
    return {
      isThere: true,
      cluster: null,
      unreadable: error.message,
      expected: { kind: "anything" },
    }
  }
}

export const absent = (manner: Manner, choice: StoreChoice): string =>
  manner === "go"
    ? "nil cluster data: <nil>"
    : `the store has no cluster "${choice.clusterName}"; begin one with: stolon ctl init`
