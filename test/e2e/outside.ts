/**
 * A PostgreSQL that nobody manages: what an operator has before stolon comes (an instance to take
 * over, a primary to follow, a backup with an archive to go back to). Made by PostgreSQL's own
 * programs alone, as the user everything runs as.
 */
import { closeSync, openSync } from "node:fs"
import { appendFile, chmod, readdir } from "node:fs/promises"
import { join } from "node:path"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import {
  type Place,
  environment,
  ownedDirectory,
  superuser,
  superuserPassword,
  wordsOf,
} from "./place.ts"
import { ask, askOne } from "./writer.ts"

export interface Outside extends AsyncDisposable {
  readonly port: number
  readonly dataDir: string
  /** Where its `archive_command` puts WAL; `restoreCommand` brings it back. */
  readonly archive: string
  readonly restoreCommand: string
  /** As a libpq connection string, for a standby of it. */
  readonly conninfo: string
  start(): Promise<void>
  stop(): Promise<void>
  run(statement: string): Promise<string>
  /** Everything up to now is in the archive when this returns. */
  archived(): Promise<void>
  /** pg_basebackup to a directory; its WAL is in the archive, `whole`: beside it too. */
  backup(to: string, whole?: boolean): Promise<void>
}

export interface OutsideOptions {
  readonly place: Pick<Place, "directory" | "superuserFile">
  readonly programs: string
  /** Where its data is to be; below the place by default. */
  readonly dataDir?: string
  readonly initdb?: readonly string[]
  /** Further lines of postgresql.conf. */
  readonly conf?: readonly string[]
  /** Whether the replication role is made. */
  readonly replication?: boolean
}

export async function newOutside(options: OutsideOptions): Promise<Outside> {
  const { place, programs } = options
  const dataDir = options.dataDir ?? join(place.directory, "outside")
  const archive = join(place.directory, "archive")
  await ownedDirectory(archive)
  const [port = 0] = await freePorts(1)
  const tool = (name: string, ...argv: readonly string[]): Promise<void> =>
    command([join(programs, name), ...argv])
  await tool(
    "initdb",
    ...["-D", dataDir, "-U", superuser, "--pwfile", place.superuserFile],
    ...["-A", "scram-sha-256", "--no-sync", ...(options.initdb ?? [])],
  )
  await appendFile(
    join(dataDir, "postgresql.conf"),
    [
      `port = ${port}`,
      "listen_addresses = '127.0.0.1'",
      `unix_socket_directories = '${place.directory}'`,
      "archive_mode = on",
      `archive_command = 'cp %p ${archive}/%f'`,
      "wal_level = replica",
      "wal_log_hints = on",
      ...(options.conf ?? []),
      "",
    ].join("\n"),
  )
  let child: Bun.Subprocess | null = null
  const run = (statement: string): Promise<string> => askOne(port, statement)
  const stop = async (): Promise<void> => {
    child?.kill("SIGINT")
    await child?.exited
    child = null
  }
  const start = async (): Promise<void> => {
    const log = openSync(join(place.directory, "outside.log"), "a")
    child = Bun.spawn([...wordsOf([join(programs, "postgres"), "-D", dataDir])], {
      stdio: ["ignore", log, log],
      env: environment(),
      cwd: place.directory,
    })
    closeSync(log)
    await until("the instance outside to answer", () => run("select 1"), 20_000)
  }
  const archived = async (): Promise<void> => {
    // the name of a position on a boundary is another one since 17
    const name = await run("select pg_walfile_name(pg_create_restore_point('archived'))")
    await run("select pg_switch_wal()")
    await until(`${name} to be archived`, async () => (await readdir(archive)).includes(name))
  }
  const made: Outside = {
    port,
    dataDir,
    archive,
    restoreCommand: `cp ${archive}/%f %p`,
    conninfo: `host=127.0.0.1 port=${port} user=repl password=repl-password`,
    start,
    stop,
    run,
    archived,
    backup: async (to, whole = false) => {
      const from = `host=127.0.0.1 port=${port} user=${superuser} password=${superuserPassword}`
      const wal = whole ? "stream" : "none"
      await tool("pg_basebackup", "-D", to, "-d", from, "-X", wal, "-c", "fast", "--no-sync")
      await chmod(to, 0o700)
      await archived()
    },
    [Symbol.asyncDispose]: stop,
  }
  await start()
  await ask(port, "create table written (id bigint primary key)")
  if (options.replication !== false)
    await ask(port, "create role repl login replication password 'repl-password'")
  return made
}

async function command(argv: readonly string[]): Promise<void> {
  const child = Bun.spawn([...wordsOf(argv)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
    cwd: "/tmp",
  })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (child.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${out}${err}`)
}
