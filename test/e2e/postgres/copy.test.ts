/**
 * Copies that fail, are killed, or meet what is in their way, with PostgreSQL 15; and a cluster
 * brought back from a backup.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { sourceTarget } from "#postgres/clone.ts"
import { newSession } from "#postgres/session.ts"
import { dbUID } from "#model/ids.ts"
import { realClock } from "#system/clock.ts"
import { argumentsOf, directoryOf, isAlive, type Process, processes } from "#system/process.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import {
  bin,
  files,
  type Keeper,
  keeper,
  never,
  primary,
  ready,
  seconds,
  standby,
  start,
  stop,
} from "./keeper.ts"

if (asPostgres(import.meta.path)) {
  setDefaultTimeout(60_000)
  let a: Keeper
  let outside: string
  beforeAll(async () => {
    outside = mkdtempSync("/tmp/stolon-space-")
    a = await keeper("a")
    await primary(a)
    await superuser(a, `create tablespace apart location '${outside}'`)
    await superuser(a, "create table rows (n int, filler text) tablespace apart")
    await superuser(
      a,
      "insert into rows select n, repeat('x', 500) from generate_series(1, 60000) n",
    )
  })
  afterAll(async () => {
    await a[Symbol.asyncDispose]()
    rmSync(outside, { recursive: true, force: true })
  })

  test("D-59 clone() fails at once when the source's slot does not exist yet", async () => {
    await using b = await keeper("b")
    const before = performance.now()
    const clone = b.run({ kind: "clone", from: a.source, slot: "stolon_nope" })
    await expect(clone).rejects.toThrow('replication slot "stolon_nope" does not exist yet')
    expect(performance.now() - before).toBeLessThan(8_000)
    expect((await b.observe()).side).toBe(false)
  })

  test("clone() tells why it was refused, and leaves no password behind", async () => {
    const replication = { name: "repl", method: "md5", password: "wrong" } as const
    await using b = await keeper("b", { replication })
    const clone = b.run({ kind: "clone", from: a.source, slot: "" })
    await expect(clone).rejects.toThrow(/password authentication failed for user "repl"/)
    expect(readdirSync(b.dataDir).filter((name) => name.startsWith("stolon-pass"))).toEqual([])
  })

  test.each(["aborted", "killed"])(
    "D-18 a clone that is %s leaves postgres/ as it was, and nothing of it runs on",
    async (how) => {
      await using b = await keeper("b")
      await primary(b)
      await b.run(stop)
      const before = tree(b.pgData)
      const runs = () =>
        processes().filter(
          (each) => each.name === "pg_basebackup" && directoryOf(each.pid) === b.dataDir,
        )
      const under = () =>
        existsSync(join(b.dataDir, "postgres.new", "base")) && runs().length > 0 ? runs() : null
      let tools: readonly Process[]
      let arguments_: readonly string[]
      if (how === "aborted") {
        const controller = new AbortController()
        const clone = b.postgres.run(
          { kind: "clone", from: a.source, slot: "" },
          () => {},
          controller.signal,
        )
        tools = await until("pg_basebackup writes", under)
        arguments_ = tools.flatMap(({ pid }) => argumentsOf(pid))
        controller.abort(new Error("given up"))
        await expect(clone).rejects.toThrow("given up")
      } else {
        const what = JSON.stringify({ settings: b.settings, from: a.source, slot: "" })
        const child = Bun.spawn([process.execPath, join(import.meta.dir, "cloner.ts"), what], {
          stdio: ["ignore", "inherit", "inherit"],
        })
        tools = await until("pg_basebackup writes", under)
        arguments_ = tools.flatMap(({ pid }) => argumentsOf(pid))
        child.kill("SIGKILL")
        await child.exited
      }
      expect(tools.length).toBeGreaterThan(0)
      expect(arguments_).not.toEqual([])
      for (const word of arguments_) expect(word).not.toContain("re:pl") // D-67
      await until("it is gone", () => !tools.some(isAlive))
      expect(runs()).toEqual([])
      expect(tree(b.pgData)).toEqual(before)
      await using next = await b.reopen()
      await next.run(
        { kind: "discard-side", reason: "a half-done copy is worthless" },
        () => {},
        never,
      )
      await next.run(start, () => {}, never)
      await next.run(ready, () => {}, never)
    },
  )

  test("D-51 a tablespace whose place is taken is copied below the keeper's directory, and removed with its copy", async () => {
    await using b = await keeper("b")
    await standby(b, a, "db2")
    await until("b streams", async () => (await b.up()).streaming)
    const [own = ""] = readdirSync(join(b.dataDir, "tablespaces"))
    const [oid = ""] = readdirSync(join(b.pgData, "pg_tblspc"))
    expect(readlinkSync(join(b.pgData, "pg_tblspc", oid))).toBe(join(b.dataDir, "tablespaces", own))
    expect(await ask(b, "select count(*)::text as v from rows")).toBe("60000")
    await b.run(stop, { kind: "set-aside", reason: "a fresh copy replaces it" })
    expect(readdirSync(join(b.dataDir, "tablespaces"))).toEqual([own])
    await b.run({ kind: "clone", from: a.source, slot: "stolon_db2" }, { kind: "swap-in" })
    const both = readdirSync(join(b.dataDir, "tablespaces"))
    expect(both).toHaveLength(2)
    await b.run({
      kind: "remove-asides",
      names: (await b.observe()).asides,
      reason: "the fresh copy has proved itself",
    })
    expect(readdirSync(join(b.dataDir, "tablespaces"))).toEqual(both.filter((name) => name !== own))
    expect(readdirSync(outside).length).toBeGreaterThan(0) // a's own place: never ours to touch
    await b.run({ kind: "write-config", files: files(b, { follow: a, own: "db2" }) }, start, ready)
    expect(await ask(b, "select count(*)::text as v from rows")).toBe("60000")
  })

  test("discard-data() refuses a directory that no mark calls worthless, and one in which PostgreSQL runs", async () => {
    await using b = await keeper("b")
    await primary(b)
    const discard = {
      kind: "discard-data",
      reason: "a half-done initialisation is worthless",
    } as const
    await expect(b.run(discard)).rejects.toThrow("has to be stopped first")
    await expect(b.run({ kind: "set-aside", reason: "a fresh copy replaces it" })).rejects.toThrow(
      "has to be stopped first",
    )
    await b.run(stop)
    await expect(b.run(discard)).rejects.toThrow("not marked as half done")
    await b.run({ kind: "mark", mark: { kind: "setup", db: dbUID("db1") } }, discard, discard)
    expect((await b.observe()).data).toEqual({ kind: "missing" })
  })

  test("restore() fills a data directory, wait-recovered() waits for its target", async () => {
    await using b = await keeper("b")
    const space = mkdtempSync("/tmp/stolon-space-")
    const backup = await backupOf(a, space)
    const position = await ask(a, "select pg_create_restore_point('here')::text as v")
    expect(position).toMatch(/\//)
    await superuser(a, "delete from rows")
    await superuser(a, "select pg_switch_wal()")
    const mark = { kind: "mark", mark: { kind: "setup", db: dbUID("db9") } } as const
    await expect(
      b.run({ kind: "restore", command: "echo no such backup >&2; exit 3", timeout: seconds(60) }),
    ).rejects.toThrow(/failed \(3\): no such backup/)
    await expect(b.run({ kind: "restore", command: "true", timeout: seconds(60) })).rejects.toThrow(
      "left the data directory (%d) empty",
    )
    await b.run(
      { kind: "restore", command: `cp -a ${backup}/. %d && echo 100%% >&2`, timeout: seconds(60) },
      { kind: "swap-in" },
      mark,
    )
    const recovery = [
      `restore_command = 'cp ${a.pgData}/pg_wal/%f %p'`,
      "recovery_target_name = 'here'",
      "recovery_target_action = 'promote'",
    ]
    await b.run({ kind: "prepare", hba: files(b).hba, signal: "recovery" })
    expect((await b.observe()).files?.signal).toBe("recovery")
    const temporary = files(b, { revision: "temporary", lines: recovery }).conf
    let calls = 0
    b.postgres.onChange(() => calls++)
    await b.run(
      { kind: "start", temporary },
      { kind: "wait-recovered", timeout: seconds(30) },
      ready,
    )
    expect(calls).toBeGreaterThan(0)
    await until("it is a primary", async () => !(await b.up()).inRecovery)
    expect(await ask(b, "select count(*)::text as v from rows")).toBe("60000")
    expect((await b.up()).timeline).toBe(2)
    await b.run(stop)
    // A target that is never reached ends PostgreSQL, and the wait with it.
    await b.run({ kind: "discard-data", reason: "a half-done initialisation is worthless" })
    await b.run(
      { kind: "restore", command: `cp -a ${backup}/. %d`, timeout: seconds(60) },
      { kind: "swap-in" },
    )
    await b.run({ kind: "prepare", hba: files(b).hba, signal: "recovery" })
    const lost = temporary.replace("'here'", "'nowhere'")
    await b.run({ kind: "start", temporary: lost })
    await expect(b.run({ kind: "wait-recovered", timeout: seconds(0) })).rejects.toThrow(
      "PostgreSQL has ended",
    )
    for (const path of [backup, space]) rmSync(path, { recursive: true, force: true })
  })
}

const valueRow = v.object({ v: v.string() })

async function ask(of: Keeper, text: string): Promise<string> {
  const session = newSession(
    sourceTarget(of.source, of.settings.superuser, {}),
    realClock,
    seconds(20),
  )
  const [row] = await session.query(valueRow, text, never)
  session.close()
  return row?.v ?? ""
}
async function superuser(of: Keeper, text: string): Promise<void> {
  const session = newSession(
    sourceTarget(of.source, of.settings.superuser, {}),
    realClock,
    seconds(20),
  )
  await session.run(text, never)
  session.close()
}

/** A base backup as an operator's tool would make it, with the tablespace at `space`. */
async function backupOf(of: Keeper, space: string): Promise<string> {
  const directory = mkdtempSync("/tmp/stolon-backup-")
  const [oid = ""] = readdirSync(join(of.pgData, "pg_tblspc"))
  const from = readlinkSync(join(of.pgData, "pg_tblspc", oid))
  const child = Bun.spawn(
    [
      join(bin, "pg_basebackup"),
      "-D",
      directory,
      "-h",
      "127.0.0.1",
      "-p",
      of.settings.port,
      "-U",
      "repl",
      "-X",
      "none",
      "-c",
      "fast",
      "-T",
      `${from}=${space}`,
    ],
    {
      env: { PGPASSWORD: of.settings.replication.password },
      stdio: ["ignore", "ignore", "inherit"],
    },
  )
  if ((await child.exited) !== 0) throw new Error("no backup")
  return directory
}

/** Names, sizes and times of everything in a directory. */
function tree(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(directory, name), { throwIfNoEntry: false }) ?? {
        size: 0,
        mtimeMs: 0,
      }
      return `${name} ${size} ${mtimeMs}`
    })
}
