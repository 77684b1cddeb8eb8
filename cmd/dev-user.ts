/**
 * Who `stolon dev` runs as. PostgreSQL refuses root, so root becomes an ordinary user before
 * anything else is started: the whole process is replaced, and every part of the cluster has one
 * owner.
 *
 * The executable is entered through /proc/self/exe: its directory may be closed to that user (a
 * clone below /root is), the file that already runs is not.
 */
import { chownSync, constants, mkdirSync, readFileSync, accessSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { type Identity, exec, resetSignals, setIdentity } from "#system/libc.ts"
import { isCompiled, selfCommand } from "#system/self.ts"

export interface User extends Identity {
  readonly name: string
}

/** The user to become: `postgres` if there is one, else who called sudo. Null: nobody fits. */
export function ordinaryUser(
  passwd: string,
  group: string,
  env: Readonly<Record<string, string | undefined>>,
): User | null {
  const rows = passwd.split("\n").map((line) => line.split(":"))
  for (const name of ["postgres", env["SUDO_USER"]]) {
    const row = rows.find(([login]) => name !== undefined && login === name)
    const [uid, gid] = [Number(row?.[2]), Number(row?.[3])]
    if (name === undefined || row === undefined || !(uid > 0)) continue
    const groups = group
      .split("\n")
      .map((line) => line.split(":"))
      .filter((fields) => (fields[3] ?? "").split(",").includes(name))
      .map((fields) => Number(fields[2]))
    return { name, uid, gid, groups: [gid, ...groups] }
  }
  return null
}

export const localUser = (env: Readonly<Record<string, string | undefined>>): User | null =>
  ordinaryUser(readFileSync("/etc/passwd", "utf8"), readFileSync("/etc/group", "utf8"), env)

/**
 * Root only: gives the directory to `user` and goes on as that user in the same process. Returns a
 * text when it cannot.
 */
export function become(user: User, directory: string, argv: readonly string[]): string {
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  const owner = statSync(directory).uid
  if (owner !== user.uid && owner !== 0)
    return `${directory} belongs to user ${owner}, not to ${user.name}; choose another --dir or chown it`
  chownSync(directory, user.uid, user.gid)
  const env = { ...process.env, STDEV_DIR: directory, HOME: directory, USER: user.name }
  setIdentity(user)
  const closed = closedParent(directory)
  if (closed !== null)
    return `user ${user.name} may not enter ${closed}; open it with chmod o+x ${closed}, or choose another --dir`
  const [self = "", ...rest] = selfCommand()
  if (!isCompiled() && closedParent(rest[0] ?? "/") !== null)
    return `user ${user.name} may not read ${rest[0]}; run the executable that make build makes`
  resetSignals()
  exec(
    "/proc/self/exe",
    [isCompiled() ? "stolon" : self, ...rest, "dev", ...argv],
    Object.entries(env).map(([name, value]) => `${name}=${value ?? ""}`),
  )
}

/** The highest directory on the way to `path`, or itself, that we may not enter. */
export function closedParent(path: string): string | null {
  const above = dirname(path)
  const higher = above === path ? null : closedParent(above)
  if (higher !== null) return higher
  try {
    accessSync(path, statSync(path).isDirectory() ? constants.X_OK : constants.R_OK)
    return null
  } catch {
    return path
  }
}
