/**
 * The pids that only this machine knows: guardian and PostgreSQL of a keeper's data directory, as
 * the files there say. Files outlive what they name, so each pid is checked; a zombie is gone
 * (D-77).
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { addressFile } from "#system/protocol.ts"
import { readProcess } from "#system/process.ts"

export interface LocalPids {
  readonly guardian: number | null
  readonly postgres: number | null
}

export const localPids = (dataDir: string): LocalPids => ({
  guardian: alive(numberIn(join(dataDir, addressFile), /"pid":\s*(\d+)/)),
  postgres: alive(numberIn(join(dataDir, "postgres", "postmaster.pid"), /^(\d+)/)),
})

const alive = (pid: number | null): number | null => {
  const process = pid === null ? null : readProcess(pid)
  return process === null || process.state === "Z" ? null : process.pid
}

function numberIn(path: string, pattern: RegExp): number | null {
  try {
    const found = pattern.exec(readFileSync(path, "utf8"))?.[1]
    return found === undefined ? null : Number(found)
  } catch {
    return null // not there, or half written: unknown for a moment
  }
}
