/**
 * The keeper's two PostgreSQL roles (reference 4.6): made when a cluster is initialised, and kept
 * as the flags want them afterwards (D-53).
 *
 * No password reaches a log: the statements run where nothing of them is logged. The sessions do
 * not wait for standbys (`synchronous_commit = local`): a keeper that hangs on its own commit helps
 * nobody.
 */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto"
import * as v from "valibot"
import { event } from "#model/events.ts"
import type { Step } from "#model/step.ts"
import { identifier, literal } from "./session.ts"
import type { SqlSession } from "./sessions.ts"
import { type Account, type Job, passwordOf } from "./settings.ts"

type Of<K> = Extract<Step, { kind: K }>

/**
 * Nothing of a statement with a password in any log, whatever the specification asks to be logged.
 */
const discreet = `begin; set local log_statement = 'none'; set local log_min_duration_statement = -1;
  set local log_min_error_statement = 'panic'; set local log_transaction_sample_rate = 0;
  set local log_min_duration_sample = -1; set local pg_stat_statements.track_utility = off`

/** The superuser's password and the replication role (4.6), in one transaction. */
export async function createRoles(_: Of<"create-roles">, job: Job): Promise<void> {
  const { settings, sessions, signal } = job
  const { superuser, replication } = settings
  // Its own session: nobody else's question may get into the transaction.
  const session = await sessions.fresh(signal)
  try {
    await session.run(discreet, signal)
    if (superuser.name === replication.name) {
      await alterRole(session, superuser, "login replication", signal)
    } else {
      await alterRole(session, superuser, "", signal)
      await ensureRole(session, replication, "login replication", signal)
    }
    await session.run("commit", signal)
  } finally {
    session.close() // which rolls back what is not committed
  }
}

/**
 * The two roles as the flags want them, on a primary in use (D-53). A password that fits already is
 * not set again: each time would be a new secret, and a write. Before 4.6 was applied by us nobody
 * may have made the replication role (`existing`, `pitr`).
 */
export async function checkRoles(_: Of<"check-roles">, job: Job): Promise<void> {
  const { settings, sessions, signal } = job
  const session = await sessions.fresh(signal)
  try {
    for (const account of new Set([settings.superuser, settings.replication])) {
      const replicates = account.name === settings.replication.name
      const role = await roleOf(session, account, signal)
      if (role !== null && fits(role, account, replicates)) continue
      await session.run(discreet, signal)
      await ensureRole(session, account, replicates ? "login replication" : "", signal)
      await session.run("commit", signal)
      settings.log.event(event("role.changed", { role: account.name }))
    }
  } finally {
    session.close()
  }
}

const roleRow = v.object({
  login: v.boolean(),
  replication: v.boolean(),
  secret: v.nullable(v.string()),
})
type Role = v.InferOutput<typeof roleRow>

async function roleOf(
  session: SqlSession,
  { name }: Account,
  signal: AbortSignal,
): Promise<Role | null> {
  const sql = `select rolcanlogin as login, rolsuper or rolreplication as replication,
    rolpassword as secret from pg_authid where rolname = ${literal(name)}`
  return (await session.query(roleRow, sql, signal))[0] ?? null
}

function fits(role: Role, account: Account, replicates: boolean): boolean {
  if (!role.login || (replicates && !role.replication)) return false
  const password = passwordOf(account)
  if (password === null) return true
  const scram = account.method === "scram-sha-256"
  return isSecretOf(role.secret ?? "", account.name, password, scram)
}

/** Whether `secret`, as pg_authid has it, is made of this password; `scram`: of that kind only. */
export function isSecretOf(
  secret: string,
  name: string,
  password: string,
  scram: boolean,
): boolean {
  const parts = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)$/.exec(secret)
  if (parts === null)
    return (
      !scram &&
      secret ===
        `md5${createHash("md5")
          .update(password + name)
          .digest("hex")}`
    )
  const [, rounds = "", salt = "", stored = ""] = parts
  // PostgreSQL's SASLprep is NFKC, and the bytes as they are when that is not possible
  const plain = Buffer.from(password.normalize("NFKC"))
  const salted = pbkdf2Sync(plain, Buffer.from(salt, "base64"), Number(rounds), 32, "sha256")
  const key = createHmac("sha256", salted).update("Client Key").digest()
  return createHash("sha256").update(key).digest("base64") === stored
}

async function ensureRole(
  session: SqlSession,
  account: Account,
  options: string,
  signal: AbortSignal,
): Promise<void> {
  const name = literal(account.name)
  const rows = await session.query(
    anyRow,
    `select 1 as one from pg_roles where rolname = ${name}`,
    signal,
  )
  if (rows.length === 0) await session.run(`create role ${identifier(account.name)}`, signal)
  await alterRole(session, account, options, signal)
}

const anyRow = v.object({ one: v.number() })

/**
 * With `scram-sha-256` the secret must be of that kind; otherwise the server's default stands, as
 * with Go.
 */
async function alterRole(
  session: SqlSession,
  account: Account,
  options: string,
  signal: AbortSignal,
): Promise<void> {
  const password = passwordOf(account)
  if (account.method === "scram-sha-256")
    await session.run("set local password_encryption = 'scram-sha-256'", signal)
  const secret = password === null ? "" : ` password ${literal(password)}`
  if (options === "" && secret === "") return
  await session.run(`alter role ${identifier(account.name)} with ${options}${secret}`, signal)
}
