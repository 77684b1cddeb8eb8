/**
 * `stolon launch`: becomes another program, in a state that only the program's own process can put
 * itself into: under another user, ended by the kernel when its parent ends, with fresh signal
 * dispositions. Hidden; the keeper and the guardian use it.
 *
 *   stolon launch [--pdeathsig SIGNAL] [--parent PID] [--uid N --gid N [--groups N,N]]
 *                 [--keep MS] -- COMMAND ARG...
 *
 * Without `--keep` it is gone once the command runs: same pid, same descriptors. With `--keep` it
 * stays as the leader of the command's process group and ends the whole group, helpers of helpers
 * included, when it is told to or when the parent dies: the kernel's parent-death signal reaches
 * only a child, never a grandchild (D-18). Imports stay light: this is on the way of every start of
 * PostgreSQL.
 */
import { constants } from "node:os"
import { isAbsolute, resolve } from "node:path"
import {
  becomeSubreaper,
  exec,
  type Identity,
  parentPid,
  resetSignals,
  setIdentity,
  setParentDeathSignal,
} from "#system/libc.ts"
import { keepGroup } from "#system/group.ts"

interface Orders {
  readonly parentDeathSignal: number | null
  readonly parent: number | null
  readonly identity: Identity | null
  readonly keepMs: number | null
  readonly command: readonly string[]
}

/**
 * Runs the command; returns an exit code only when it could not, or when it was kept and has ended.
 */
export async function main(argv: readonly string[]): Promise<number> {
  let orders: Orders
  try {
    orders = parse(argv)
  } catch (error) {
    return fail(2, error)
  }
  try {
    if (orders.identity !== null) setIdentity(orders.identity)
    // After the change of user, which would clear it.
    if (orders.parentDeathSignal !== null) setParentDeathSignal(orders.parentDeathSignal)
    // A parent that died before the line above will never send the signal.
    if (orders.parent !== null && parentPid() !== orders.parent)
      return fail(1, "the parent has ended already")
    if (orders.keepMs !== null) {
      becomeSubreaper()
      return await keepGroup(orders.command, orders.keepMs)
    }
    return become(orders.command)
  } catch (error) {
    return fail(126, error)
  }
}

function become(command: readonly string[]): number {
  const [name = ""] = command
  const path = name.includes("/") ? name : Bun.which(name)
  if (path === null) return fail(127, `${name}: command not found`)
  const env = Object.entries(process.env).map(([key, value]) => `${key}=${value ?? ""}`)
  resetSignals()
  return exec(isAbsolute(path) ? path : resolve(path), command, env)
}

function parse(argv: readonly string[]): Orders {
  const end = argv.indexOf("--")
  if (end < 0 || end === argv.length - 1) throw new Error("no command after --")
  const values = new Map<string, string>()
  for (let i = 0; i < end; i += 2) {
    const [name, value] = [argv[i] ?? "", argv[i + 1]]
    if (!names.has(name) || value === undefined || i + 1 >= end)
      throw new Error(`unexpected ${JSON.stringify(name)}`)
    values.set(name, value)
  }
  const number = (name: string): number | null => {
    const text = values.get(name)
    if (text === undefined) return null
    if (!/^\d{1,10}$/.test(text)) throw new Error(`${name}: not a number: ${text}`)
    return Number(text)
  }
  const [uid, gid] = [number("--uid"), number("--gid")]
  if ((uid === null) !== (gid === null)) throw new Error("--uid and --gid go together")
  const groups = (values.get("--groups") ?? "").split(",").filter((word) => word !== "")
  return {
    parentDeathSignal: signalNumber(values.get("--pdeathsig")),
    parent: number("--parent"),
    identity: uid === null || gid === null ? null : { uid, gid, groups: groups.map(Number) },
    keepMs: number("--keep"),
    command: argv.slice(end + 1),
  }
}

const names = new Set(["--pdeathsig", "--parent", "--uid", "--gid", "--groups", "--keep"])

function signalNumber(name: string | undefined): number | null {
  if (name === undefined) return null
  const found = Object.entries(constants.signals).find(([signal]) => signal === name)
  if (found === undefined) throw new Error(`--pdeathsig: no such signal: ${name}`)
  return found[1]
}

function fail(code: number, error: unknown): number {
  const text = error instanceof Error ? error.message : String(error)
  process.stderr.write(`stolon launch: ${text}\n`)
  return code
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
