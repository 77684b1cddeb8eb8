/**
 * The PostgreSQL versions that the suites run on: the one of this machine, or those that
 * `STOLON_TEST_PG` names (`13,15,17,18`; `make test-pg-matrix`). The machine's own is used where it
 * fits, the others come from where `scripts/getpg.sh` puts them. A version that was asked for and
 * is not there fails, it is never left out in silence.
 */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"

export interface TestedServer {
  readonly major: number
  /** The directory of its programs. */
  readonly programs: string
}

const root = join(import.meta.dir, "..", "..", "..")
const cache = process.env["STOLON_PG_CACHE"] ?? join(root, ".cache", "postgresql")

export function servers(): readonly TestedServer[] {
  const asked = process.env["STOLON_TEST_PG"] ?? ""
  if (asked === "") return [installed()]
  return asked.split(",").map(Number).map(found)
}

function found(major: number): TestedServer {
  const programs = [
    `/usr/lib/postgresql/${major}/bin`,
    join(cache, `${major}`, "usr", "lib", "postgresql", `${major}`, "bin"),
  ].find((path) => existsSync(join(path, "postgres")))
  if (programs === undefined)
    throw new Error(`PostgreSQL ${major} is not here: scripts/getpg.sh ${major}`)
  return { major, programs }
}

function installed(): TestedServer {
  const programs = postgresPrograms("")
  const { stdout } = Bun.spawnSync([join(programs, "postgres"), "--version"])
  return { major: Number(/\) (\d+)/.exec(stdout.toString())?.[1]), programs }
}
