/**
 * `stolon keeper`: wires the keeper's loops to the store and to PostgreSQL. The checks come in the
 * order and with the texts of the reference (1.4), because scripts and the Go integration suite
 * match on them. Decides nothing about PostgreSQL.
 */
import { lstat, readFile } from "node:fs/promises"
import { userInfo } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { type KeeperState, runKeeper } from "#agent/keeper.ts"
import type { Values } from "#cli/flag.ts"
import type { Invocation } from "#cli/invocation.ts"
import {
  type Check,
  type Passwords,
  type PostgresChoice,
  type User,
  checkDataDir,
  checkPasswords,
  checkPostgres,
  checkUid,
} from "#cli/keeper-checks.ts"
import { keeperCommand, type keeperFlags } from "#cli/keeper.ts"
import { checkStore } from "#cli/store.ts"
import type { Account } from "#keeper/settings.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import { openPostgres } from "#postgres/open.ts"
import { placesBelow } from "#postgres/settings.ts"
import { encodeKeeperState, readKeeperState } from "#postgres/state.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { privateDirectory, writeAtomic } from "#system/files.ts"
import { type Lock, takeLock } from "#system/lock.ts"
import type { ComponentLog } from "#system/log.ts"
import { startReaper } from "#system/reaper.ts"
import { onShutdown } from "#system/signals.ts"
import { begin } from "./front.ts"
import { counting } from "./metrics.ts"
import { keeperMetrics, loopIsStuck } from "./keeper-metrics.ts"
import { refuse, serveMetrics, serviceLog, text } from "./service.ts"

type KeeperValues = Values<typeof keeperFlags>

/** For one request to PostgreSQL that belongs to no specification. */
const requestTimeout = millis(5_000)
/** How long a new guardian waits for the first word of its keeper. */
const initialDeadline = millis(20_000)

/** A start that cannot go on; the text is for people. */
class Refusal extends Error {
  override readonly name = "Refusal"
}

export async function main(invocation: Invocation): Promise<number> {
  const begun = await begin(keeperCommand, invocation)
  if (begun.kind === "exit") return begun.code
  const { values, changed } = begun
  const { dialect } = invocation
  const log = serviceLog("keeper", values, changed)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => log.flush(500))
  try {
    const noDir = checkDataDir(values, dialect)
    if (noDir !== null) throw new Refusal(noDir)
    const stored = checkStore(values, dialect)
    if (stored.kind === "refused") throw new Refusal(stored.message)
    if (dialect === "stolon") refuseRoot()
    await makeDataDir(values.dataDir)
    const methods = withMethods(values, changed, dialect)
    const chosen = accept(log, checkPostgres(methods, changed, systemUser(), dialect))
    const passwords = accept(log, checkPasswords(chosen, await readPasswords(log, chosen)))
    if (!values.disableDataDirLocking) stack.use(lock(log, values.dataDir))
    const badUid = checkUid(values.uid, dialect)
    if (badUid !== null) throw new Refusal(badUid)
    refuseRoot()
    return await serve(stack, log, { values, store: stored.store, chosen, passwords, dialect })
  } catch (error) {
    return await refuse(invocation, text(error))
  }
}

/** A user id without a name (containers) leaves the choice to the flag. */
function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    return ""
  }
}

interface Parts {
  readonly values: KeeperValues & {
    readonly clusterName: string
    readonly metricsListenAddress: string
  }
  readonly store: Parameters<typeof openStore>[0]
  readonly chosen: PostgresChoice
  readonly passwords: Passwords
  readonly dialect: Invocation["dialect"]
}

async function serve(
  stack: AsyncDisposableStack,
  log: ComponentLog,
  parts: Parts,
): Promise<number> {
  const { values, chosen, passwords } = parts
  const shutdown = stack.use(onShutdown())
  // in a container nobody else collects orphans (D-77)
  if (process.pid === 1) stack.use(startReaper())
  const events = counting(log)
  let state: KeeperState | null = null
  let heard = realClock.now().mono
  let endedAt = 0
  shutdown.signal.addEventListener(
    "abort",
    () => (endedAt = Date.parse(realClock.now().wall) / 1000),
  )
  const metrics = () => keeperMetrics(values.clusterName, state, endedAt, events.metric())
  const unhealthy = (): readonly string[] => loopIsStuck(state, heard, realClock.now().mono)
  try {
    serveMetrics(stack, values.metricsListenAddress, metrics, unhealthy)
  } catch (error) {
    if (parts.dialect === "stolon") throw error
    // and Go's keeper ends gracefully
    log.line("error", "metrics http server error", { error: text(error) })
    return 0
  }
  const uid = await identity(values)
  log.line("info", "keeper uid", { uid })
  const store = stack.use(await openStore(parts.store, shutdown.signal))
  const superuser = account(chosen.superuser, passwords.superuser)
  const replication = account(chosen.replication, passwords.replication)
  const socketDirectory = "/tmp"
  const postgres = stack.use(
    await openPostgres(
      {
        dataDir: values.dataDir,
        binPath: values.pgBinPath,
        port: chosen.port,
        socketDirectory,
        superuser,
        replication,
        requestTimeout,
        initialDeadline,
        clock: realClock,
        log: events,
      },
      shutdown.signal,
    ),
  )
  await runKeeper(
    { store, postgres, clock: realClock, chance: realChance, log: events },
    {
      uid,
      listenAddress: chosen.listenAddress,
      port: chosen.port,
      advertiseAddress: chosen.advertiseAddress,
      advertisePort: chosen.advertisePort,
      socketDirectory,
      superuser,
      replication,
      canBeMaster: values.canBeMaster,
      canBeSynchronousReplica: values.canBeSynchronousReplica,
      report: (now) => {
        state = now
        heard = realClock.now().mono
      },
    },
    shutdown.signal,
  )
  return 0
}

/**
 * In our dialect passwords are proved by SCRAM unless somebody said otherwise; a Go name keeps Go's
 * default.
 */
function withMethods(
  values: KeeperValues,
  changed: ReadonlyMap<string, string>,
  dialect: Invocation["dialect"],
): KeeperValues {
  if (dialect === "go") return values
  const method = (flag: string, typed: string): string =>
    changed.has(flag) ? typed : "scram-sha-256"
  return {
    ...values,
    pgReplAuthMethod: method("pg-repl-auth-method", values.pgReplAuthMethod),
    pgSuAuthMethod: method("pg-su-auth-method", values.pgSuAuthMethod),
  }
}

function refuseRoot(): void {
  if (process.getuid?.() !== 0) return
  throw new Refusal(
    "PostgreSQL refuses to run as root, so the keeper must run as an unprivileged user that owns --data-dir: " +
      "`su postgres -c 'stolon keeper …'`, or User= in the systemd unit",
  )
}

async function makeDataDir(directory: string): Promise<void> {
  try {
    await privateDirectory(directory)
  } catch (error) {
    throw new Refusal(`cannot create data dir: ${text(error)}`, { cause: error })
  }
}

function accept<T>(log: ComponentLog, check: Check<T>): T {
  for (const warning of check.warnings) log.line("warn", warning)
  if (check.kind === "refused") throw new Refusal(check.message)
  return check.value
}

function lock(log: ComponentLog, dataDir: string): Lock {
  const path = join(dataDir, "lock")
  try {
    const taken = takeLock(path)
    log.line("info", "exclusive lock on data dir taken")
    return taken
  } catch (error) {
    const message = `cannot take exclusive lock on data dir ${JSON.stringify(path)}: ${text(error)}`
    throw new Refusal(message, { cause: error })
  }
}

/** The replication user's first, as Go does. */
async function readPasswords(log: ComponentLog, chosen: PostgresChoice): Promise<Passwords> {
  const replication = await readPassword(log, chosen.replication, "replication user")
  return { replication, superuser: await readPassword(log, chosen.superuser, "superuser") }
}

async function readPassword(
  log: ComponentLog,
  { password }: User,
  who: string,
): Promise<string | null> {
  if (password.kind === "none") return null
  if (password.kind === "given") return password.text
  const { path } = password
  try {
    const mode = (await lstat(path)).mode & 0o777
    if (mode > 0o600)
      log.line(
        "warn",
        "password file permissions are too open. This file should only be readable to the user executing stolon! Continuing...",
        {
          file: path,
          mode: mode.toString(8).padStart(4, "0"),
        },
      )
    return await readFile(path, "utf8")
  } catch (error) {
    const message = `cannot read pg ${who} password: unable to read password from file ${path}: ${text(error)}`
    throw new Refusal(message, { cause: error })
  }
}

const account = ({ name, method }: User, password: string | null): Account => ({
  name,
  method,
  password: password ?? "",
})

/** The name is settled once and for all by the first start. */
async function identity({ uid, dataDir }: KeeperValues): Promise<KeeperUID> {
  const places = placesBelow(dataDir)
  const saved = await readKeeperState(places)
  if (saved.uid !== "") {
    if (uid !== "" && uid !== saved.uid)
      throw new Refusal(
        `saved uid ${JSON.stringify(saved.uid)} differs from configuration uid: ${JSON.stringify(uid)}`,
      )
    return saved.uid
  }
  const chosen = keeperUID(uid === "" ? realChance.uid() : uid)
  await writeAtomic(places.keeperState, encodeKeeperState({ ...saved, uid: chosen }))
  return chosen
}
