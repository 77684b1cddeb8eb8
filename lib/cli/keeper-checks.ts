/**
 * What a keeper checks of its flags before it starts, in Go's order and with Go's texts (reference
 * 1.4): the integration suite and people's notes quote them. The steps stand apart because reading
 * files and making the data directory come in between.
 *
 * Pure; password files are read by the caller. Passwords appear in no message.
 */
import type { Dialect, Values } from "./flag.ts"
import type { keeperFlags } from "./keeper.ts"

type KeeperValues = Values<typeof keeperFlags>
export type Check<T> =
  | { readonly kind: "ok"; readonly value: T; readonly warnings: readonly string[] }
  | { readonly kind: "refused"; readonly message: string; readonly warnings: readonly string[] }

/** How PostgreSQL is reached and who connects to it. */
export interface PostgresChoice {
  readonly listenAddress: string
  readonly port: string
  readonly advertiseAddress: string
  readonly advertisePort: string
  readonly superuser: User
  readonly replication: User
}
export type Method = "md5" | "scram-sha-256" | "trust"
export interface User {
  readonly name: string
  readonly method: Method
  /** Where the password comes from. */
  readonly password:
    | { readonly kind: "none" }
    | { readonly kind: "given"; readonly text: string }
    | { readonly kind: "file"; readonly path: string }
}

/** Step 1: whose name the superuser has when nobody said. */
export const checkUser = (changed: ReadonlyMap<string, string>, osUser: string): string | null =>
  changed.has("pg-su-username") || osUser !== ""
    ? null
    : "cannot get current user: cannot detect current user"

/** Step 3. */
export const checkDataDir = (values: KeeperValues, dialect: Dialect): string | null => {
  if (values.dataDir !== "") return null
  return dialect === "go" ? "data dir required" : "--data-dir is required (or STKEEPER_DATA_DIR)"
}

/** Steps 6 to 14. `osUser` names the superuser when no flag does. */
export function checkPostgres(
  values: KeeperValues,
  changed: ReadonlyMap<string, string>,
  osUser: string,
  dialect: Dialect,
): Check<PostgresChoice> {
  const warnings: string[] = []
  const refused = (message: string): Check<PostgresChoice> => ({
    kind: "refused",
    message,
    warnings,
  })
  if (values.pgListenAddress === "") return refused("--pg-listen-address is required")
  warnings.push(...advertiseWarnings(values))
  const repl = replicationUser(values, dialect)
  const su = superuser(values, changed, osUser, dialect)
  if (repl.method === null)
    return refused(`--pg-repl-auth-method must be one of: ${methods(dialect, "md5, trust")}`)
  if (repl.name === "") return refused("--pg-repl-username is required")
  for (const { flag, name } of [repl, su]) {
    const rule = nameRule(name)
    if (rule !== null) return refused(`--pg-${flag}-username ${rule}`)
  }
  for (const who of [repl, su]) {
    if (who.method !== "trust") continue
    warnings.push(`not utilizing a password for ${who.purpose} is extremely dangerous`)
    if (who.password !== "" || who.file !== "")
      return refused(
        `can not utilize --pg-${who.flag}-auth-method trust together with --pg-${who.flag}-password or --pg-${who.flag}-passwordfile`,
      )
  }
  const replPassword = onePassword(repl)
  if (replPassword !== null) return refused(replPassword)
  if (su.method === null)
    return refused(
      `--pg-su-auth-method must be one of: ${methods(dialect, "md5, password, trust")}`,
    )
  const suPassword = onePassword(su)
  if (suPassword !== null) return refused(suPassword)
  const value: PostgresChoice = {
    listenAddress: values.pgListenAddress,
    port: values.pgPort,
    advertiseAddress: values.pgAdvertiseAddress || values.pgListenAddress,
    advertisePort: values.pgAdvertisePort || values.pgPort,
    superuser: user(su, su.method),
    replication: user(repl, repl.method),
  }
  return { kind: "ok", value, warnings }
}

/** What pg_hba.conf cannot hold, however it is quoted; since PostgreSQL 16 `/` begins a pattern. */
function nameRule(name: string): string | null {
  if (/[\n\r\0]/.test(name)) return "cannot contain a line break: pg_hba.conf cannot hold it"
  return name.startsWith("/")
    ? "cannot begin with a slash: pg_hba.conf takes what follows for a pattern"
    : null
}

interface Candidate {
  readonly flag: "repl" | "su"
  readonly purpose: string
  readonly name: string
  readonly method: Method | null
  readonly password: string
  readonly file: string
}

const replicationUser = (values: KeeperValues, dialect: Dialect): Candidate => ({
  flag: "repl",
  purpose: "replication between hosts",
  name: values.pgReplUsername,
  method: methodOf(values.pgReplAuthMethod, dialect),
  password: values.pgReplPassword,
  file: values.pgReplPasswordfile,
})

/** The operating system's user stands in only while nobody said anything, not even "". */
const superuser = (
  values: KeeperValues,
  changed: ReadonlyMap<string, string>,
  osUser: string,
  dialect: Dialect,
): Candidate => ({
  flag: "su",
  purpose: "superuser",
  name: changed.has("pg-su-username") ? values.pgSuUsername : osUser,
  method: methodOf(values.pgSuAuthMethod, dialect),
  password: values.pgSuPassword,
  file: values.pgSuPasswordfile,
})

function methodOf(text: string, dialect: Dialect): Method | null {
  if (text === "md5" || text === "trust") return text
  return text === "scram-sha-256" && dialect === "stolon" ? text : null
}
const methods = (dialect: Dialect, go: string): string =>
  dialect === "go" ? go : "md5, scram-sha-256, trust"

function onePassword(who: Candidate): string | null {
  if (who.method === "trust") return null
  const [password, file] = [`--pg-${who.flag}-password`, `--pg-${who.flag}-passwordfile`]
  if (who.password === "" && who.file === "") return `one of ${password} or ${file} is required`
  return who.password !== "" && who.file !== ""
    ? `only one of ${password} or ${file} must be provided`
    : null
}

const user = (who: Candidate, method: Method): User => ({
  name: who.name,
  method,
  password:
    who.password !== ""
      ? { kind: "given", text: who.password }
      : who.file !== ""
        ? { kind: "file", path: who.file }
        : { kind: "none" },
})

function advertiseWarnings(values: KeeperValues): readonly string[] {
  const [flag, address] =
    values.pgAdvertiseAddress === ""
      ? ["--pg-listen-address", values.pgListenAddress]
      : ["--pg-advertise-address", values.pgAdvertiseAddress]
  const literal = /^[\d.]+$/.test(address) || address.includes(":")
  const loopback = address.startsWith("127.") || address === "::1" || address === "localhost"
  return [
    ...(literal
      ? []
      : [
          `provided ${flag} "${address}": not an ip address but a hostname. This will be advertized to the other components and may have undefined behaviors if resolved differently by other hosts`,
        ]),
    ...(loopback
      ? [
          `provided ${flag} "${address}" is a loopback ip. This will be advertized to the other components and communication will fail if they are on different hosts`,
        ]
      : []),
  ]
}

/** Passwords as read, null where the method is trust. */
export interface Passwords {
  readonly superuser: string | null
  readonly replication: string | null
}

/** Steps 16 and 17: what the passwords themselves must be. */
export function checkPasswords(choice: PostgresChoice, read: Passwords): Check<Passwords> {
  const warnings: string[] = []
  const refused = (message: string): Check<Passwords> => ({ kind: "refused", message, warnings })
  const trimmed: { superuser: string | null; replication: string | null } = { ...read }
  for (const [key, words] of [
    ["superuser", "superuser"],
    ["replication", "replication user"],
  ] as const) {
    const password = read[key]
    if (password === null) continue
    const text = password.replace(/[\r\n]+$/, "")
    if (text === password) continue
    warnings.push(`${words} password contain trailing new line, removing`)
    if (text === "") return refused(`${words} password is empty after removing trailing new line`)
    trimmed[key] = text
  }
  const { superuser: su, replication: repl } = choice
  if (su.name === repl.name) {
    warnings.push(
      "superuser name and replication user name are the same. Different users are suggested.",
    )
    if (su.method !== repl.method)
      return refused(
        "do not support different auth methods when utilizing superuser for replication.",
      )
    if (su.method !== "trust" && trimmed.superuser !== trimmed.replication)
      return refused(
        "provided superuser name and replication user name are the same but provided passwords are different",
      )
  }
  return { kind: "ok", value: trimmed, warnings }
}

/** Step 19. Hyphens are ours: Go's keepers cannot take such a keeper back (protocol part 8). */
export function checkUid(uid: string, dialect: Dialect): string | null {
  const fine = dialect === "go" ? /^[a-z0-9_]+$/ : /^[a-z0-9_-]+$/
  if (uid === "" || fine.test(uid)) return null
  return dialect === "go"
    ? `keeper uid "${uid}" not valid. It can contain only lower-case letters, numbers and the underscore character`
    : `--uid "${uid}": expected lower-case letters, digits, underscores and hyphens only`
}
