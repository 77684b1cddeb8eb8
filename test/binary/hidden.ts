/**
 * Runs a compiled program where neither our source nor node_modules exist: in a mount namespace of
 * its own, with an empty file system over the project. Without that, a file that the build forgot
 * would be found at its old place.
 */
import { resolve } from "node:path"

const root = resolve(import.meta.dir, "../..")

/** With root's rights, or as root of a user namespace where the kernel allows it. */
const ways: readonly (readonly string[])[] = [
  ["unshare", "--mount"],
  ["unshare", "--user", "--map-root-user", "--mount"],
]
const hide = 'mount -t tmpfs none "$0" && cd "$1" && shift && exec "$@"'

function works(way: readonly string[]): boolean {
  try {
    const check = [...way, "sh", "-c", hide, root, "/", "test", "!", "-e", `${root}/package.json`]
    return Bun.spawnSync(check, { stderr: "ignore" }).exitCode === 0
  } catch {
    return false
  }
}
const way = ways.find(works)

/** Why the tests of this folder cannot run here; null when they can. */
export const obstacle =
  way === undefined ? "no mount namespaces for us here (root or user namespaces needed)" : null

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export async function runHidden(
  directory: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const words = [...(way ?? []), "sh", "-c", hide, root, directory, ...command]
  const child = Bun.spawn(words, {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", HOME: directory, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { code: await child.exited, stdout, stderr }
}
