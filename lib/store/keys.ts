/**
 * Where things are in the store: Go stolon's key layout to the letter (reference 3.1), because both
 * sides of a mixed cluster look under the same keys.
 */
import type { Publisher } from "#port/store.ts"

export interface Keys {
  readonly clusterData: string
  /** Election candidates live below this prefix (it ends with a slash). */
  readonly election: string
  /**
   * Listings use Go's prefixes, without a slash at the end: what disturbs a Go leader shows with us
   * as broken.
   */
  readonly keepers: string
  readonly sentinels: string
  readonly proxies: string
  info(who: Publisher): string
}

export function keysOf(prefix: string, clusterName: string): Keys {
  const base = joinPath(prefix, clusterName)
  const below = (path: string): string => joinPath(base, path)
  const folders = {
    keeper: below("keepers/info"),
    sentinel: below("sentinels/info"),
    proxy: below("proxies/info"),
  } as const
  return {
    clusterData: below("clusterdata"),
    election: `${below("sentinel-leader")}/`,
    keepers: folders.keeper,
    sentinels: folders.sentinel,
    proxies: folders.proxy,
    info: (who) => joinPath(folders[who.kind], who.uid),
  }
}

/** Go's path.Join: empty elements are left out, the rest is cleaned. */
export function joinPath(...elements: readonly string[]): string {
  const given = elements.filter((element) => element !== "")
  return given.length === 0 ? "" : cleanPath(given.join("/"))
}

/**
 * Go's path.Clean: no empty and `.` elements, `..` resolved where something stands before it; a
 * leading slash is kept.
 */
function cleanPath(path: string): string {
  const rooted = path.startsWith("/")
  const out: string[] = []
  for (const element of path.split("/")) {
    if (element === "" || element === ".") continue
    if (element !== "..") out.push(element)
    else if (out.length > 0 && out.at(-1) !== "..") out.pop()
    else if (!rooted) out.push("..")
  }
  const joined = out.join("/")
  if (rooted) return `/${joined}`
  return joined === "" ? "." : joined
}
