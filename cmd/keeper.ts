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
  checkUser,
} from "#cli/keeper-checks.ts"
import { keeperCommand, type keeperFlags } from "#cli/keeper.ts"
import type { Environment } from "#cli/parse.ts"
import type { peerFlags } from "#cli/peer.ts"
import { checkStore, inPod } from "#cli/store.ts"
import type { Account } from "#keeper/settings.ts"
import { type KeeperUID, keeperUID } from "#model/ids.ts"
import type { Log } from "#port/log.ts"
import { peers } from "#peer/ask.ts"
import { openPostgres } from "#postgres/open.ts"
import { placesBelow } from "#postgres/settings.ts"
import { encodeKeeperState, readKeeperState } from "#postgres/state.ts"
import { openStore } from "#store/open.ts"
import { realChance } from "#system/chance.ts"
import { realClock } from "#system/clock.ts"
import { fileTrouble } from "#system/errno.ts"
import { privateDirectory, writeAtomic } from "#system/files.ts"
import { type Lock, takeLock } from "#system/lock.ts"
import type { ComponentLog } from "#system/log.ts"
import { isShutdown, onShutdown } from "#system/signals.ts"
import { begin } from "./front.ts"
import { counting } from "./metrics.ts"
import { openEndpoint } from "./peers.ts"
import { type Rehearsal, rehearse } from "./keeper-dry-run.ts"
import { keeperMetrics, keeperPages, loopIsStuck } from "./keeper-metrics.ts"
import { beginTrouble, metricsServed, refuse, serveMetrics, serviceLog, text } from "./service.ts"
import { supervised } from "./supervised.ts"

type KeeperValues = Values<typeof keeperFlags & typeof peerFlags>

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
  const log = serviceLog("keeper", values, changed, invocation)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => log.flush(500))
  try {
    const user = systemUser(invocation.env)
    const nobody = checkUser(changed, user)
    if (nobody !== null) throw new Refusal(nobody)
    const noDir = checkDataDir(values, dialect)
    if (noDir !== null) throw new Refusal(noDir)
    const stored = checkStore(values, dialect)
    if (stored.kind === "refused") throw new Refusal(stored.message)
    if (dialect === "stolon") refuseRoot()
    if (!values.dryRun) await makeDataDir(values.dataDir)
    const chosen = accept(log, checkPostgres(values, changed, user, dialect))
    const passwords = accept(log, checkPasswords(chosen, await readPasswords(log, chosen)))
    if (!values.disableDataDirLocking && !values.dryRun) stack.use(lock(log, values.dataDir))
    const badUid = checkUid(values.uid, dialect)
    if (badUid !== null) throw new Refusal(badUid)
    refuseRoot()
    const parts = { values, store: inPod(stored.store, invocation.env), chosen, passwords, dialect }
    if (values.dryRun) return await rehearse(rehearsal(log, parts), stack.use(onShutdown()).signal)
    return await serve(stack, log, parts)
  } catch (error) {
    await log.flush(500)
    if (isShutdown(error)) return 0
    return await refuse(invocation, beginTrouble(invocation, "keeper", error))
  }
}

/** A user id without a name (containers) leaves the choice to $USER or to the flag. */
function systemUser(env: Environment): string {
  try {
    return userInfo().username
  } catch {
    return env["USER"] ?? ""
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
  const { values } = parts
  const shutdown = stack.use(onShutdown())
  const events = counting(log)
  let state: KeeperState | null = null
  let heard = realClock.now().mono
  let endedAt = 0
  const wallMillis = (): number => Date.parse(realClock.now().wall)
  shutdown.signal.addEventListener("abort", () => (endedAt = wallMillis() / 1000))
  const metrics = () => keeperMetrics(values.clusterName, state, endedAt, events.metric())
  const unhealthy = (): readonly string[] => loopIsStuck(state, heard, realClock.now().mono)
  const pages = keeperPages(() => state, wallMillis)
  const listen = (): void =>
    serveMetrics(stack, values.metricsListenAddress, metrics, unhealthy, pages)
  if (!metricsServed(log, parts.dialect, listen)) return 0
  supervised(stack, unhealthy)
  const uid = await identity(values)
  log.line("info", "keeper uid", { uid })
  const store = stack.use(await openStore(parts.store, shutdown.signal))
  const { postgres: place, settings } = rehearsal(events, parts)
  const postgres = stack.use(await openPostgres(place, shutdown.signal))
  const { password } = settings.replication
  const endpoint = stack.use(
    await openEndpoint({
      typed: values.peerListenAddress,
      dialect: parts.dialect,
      advertise: async () => settings.advertiseAddress,
      password,
    }),
  )
  await runKeeper(
    {
      store,
      postgres,
      peers: peers({ password }),
      endpoint,
      clock: realClock,
      chance: realChance,
      log: events,
    },
    {
      ...settings,
      uid,
      report: (now) => {
        state = now
        heard = realClock.now().mono
      },
    },
    shutdown.signal,
  )
  return 0
}

/** What flags and password files say, for the keeper and for a look at what it would do. */
function rehearsal(log: Log, { values, store, chosen, passwords }: Parts): Rehearsal {
  const superuser = account(chosen.superuser, passwords.superuser)
  const replication = account(chosen.replication, passwords.replication)
  const { listenAddress, port, advertiseAddress, advertisePort } = chosen
  const common = { port, socketDirectory: "/tmp", superuser, replication }
  return {
    store,
    postgres: {
      ...common,
      dataDir: values.dataDir,
      binPath: values.pgBinPath,
      requestTimeout,
      initialDeadline,
      store,
      clock: realClock,
      log,
    },
    settings: {
      ...common,
      uid: keeperUID(values.uid),
      listenAddress,
      advertiseAddress,
      advertisePort,
      canBeMaster: values.canBeMaster,
      canBeSynchronousReplica: values.canBeSynchronousReplica,
      zone: values.zone,
    },
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
    const why = fileTrouble("mkdir", directory, error)
    throw new Refusal(`cannot create data dir: ${why}`, { cause: error })
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
    const why = fileTrouble("lstat", path, error)
    const message = `cannot read pg ${who} password: unable to read password from file ${path}: ${why}`
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
