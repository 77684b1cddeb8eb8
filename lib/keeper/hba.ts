/**
 * pg_hba.conf: who may connect. The keeper's own rules come first, so no rule of a user can lock it
 * out (reference 4.4).
 *
 * A closed file lets only the keepers in and says why in its first line: that line is how a keeper
 * that was killed meanwhile knows what to wait for before it opens the file again (reference 6.6,
 * protocol W3).
 */
import type { Account, Method, Settings } from "./settings.ts"

/**
 * Why ordinary clients are kept out. `restarted`: commits that waited for a standby when a
 * synchronous primary ended are visible now. `promoted`: a new primary whose synchronous names are
 * not proved to be in force.
 */
export type Guard = "none" | "restarted" | "promoted"

export interface Access {
  readonly settings: Settings
  /**
   * Addresses of the others, in mode `strict` on the cluster's master; null: the whole world (mode
   * `all`).
   */
  readonly peers: readonly string[] | null
  /** Rules of the specification; null: everybody with a password. */
  readonly rules: readonly string[] | null
  readonly guard: Guard
}

const guardLine = (guard: Guard): readonly string[] =>
  guard === "none" ? [] : [`# closed to clients by stolon: ${guard}`]

/** The guard that a file on disk stands for. */
export function guardOf(hba: string): Guard {
  const [first] = hba.split("\n", 1)
  const found = (["restarted", "promoted"] as const).find((guard) => guardLine(guard)[0] === first)
  return found ?? "none"
}

export function formatHba(access: Access): string {
  const { settings, peers, rules, guard } = access
  const { superuser, replication } = settings
  const lines = [
    ...guardLine(guard),
    `local postgres ${user(superuser)} ${superuser.method}`,
    `local replication ${user(replication)} ${replication.method}`,
    ...(peers === null ? worldRules(settings) : peers.flatMap((peer) => peerRules(settings, peer))),
    ...(guard === "none" ? (rules ?? anybody(superuser.method)) : []),
  ]
  return lines.map((text) => `${text}\n`).join("")
}

/**
 * For a temporary start: nobody but who owns the socket (it is made with mode 0700) gets in, and
 * without a password, because what the instance has for one is not known yet (D-53).
 */
export const privateHba = ({ superuser }: Settings): string =>
  [...guardLine("restarted"), `local postgres ${user(superuser)} trust`, ""].join("\n")

const everywhere: readonly string[] = ["0.0.0.0/0", "::0/0"]

const worldRules = ({ superuser, replication }: Settings): readonly string[] => [
  ...everywhere.map((addresses) => rule("all", superuser, addresses)),
  ...everywhere.map((addresses) => rule("replication", replication, addresses)),
]

function peerRules({ superuser, replication }: Settings, peer: string): readonly string[] {
  const address = oneHost(peer)
  return [rule("all", superuser, address), rule("replication", replication, address)]
}

const rule = (database: string, account: Account, addresses: string): string =>
  `host ${database} ${user(account)} ${addresses} ${account.method}`

const anybody = (method: Method): readonly string[] =>
  everywhere.map(
    (addresses) => `host all all ${addresses} ${method === "scram-sha-256" ? method : "md5"}`,
  )

/** One host: an address with the full mask of its family, or a name as it is (D-68). */
function oneHost(address: string): string {
  if (address.includes(":")) return `${address}/128`
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(address) ? `${address}/32` : token(address)
}

const user = ({ name }: Account): string => token(name)

/** Words that mean something else than a name while they are not quoted. */
const reserved: ReadonlySet<string> = new Set([
  "all",
  "replication",
  "sameuser",
  "samerole",
  "samegroup",
  "samehost",
  "samenet",
])
const token = (word: string): string =>
  /^[A-Za-z_][\w.$-]*$/.test(word) && !reserved.has(word.toLowerCase())
    ? word
    : `"${word.replaceAll('"', '""')}"`
