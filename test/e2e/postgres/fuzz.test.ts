/**
 * What we render, read by PostgreSQL's own parsers (D-47): any value of a parameter, any name of a
 * user, any password comes back as it went in, and what cannot be written is refused before
 * PostgreSQL is touched. Seeds are printed; `SEED=n` repeats a run, `FUZZ=10` tries ten times as
 * much.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as v from "valibot"
import { type Random, generator } from "#base/random.ts"
import { formatConf, parseConf } from "#keeper/conf.ts"
import { formatConninfo, parseConninfo } from "#keeper/conninfo.ts"
import { formatHba } from "#keeper/hba.ts"
import { refusal } from "#keeper/parameters.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { identifier, literal, newSession, type Session } from "#postgres/session.ts"
import { conninfo, passLine } from "#postgres/tool.ts"
import { settings as keeperSettings } from "#test/unit/keeper/build.ts"
import { asPostgres } from "../run-as.ts"
import { type Keeper, bin, files, keeper, never, primary, seconds } from "./keeper.ts"

const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000)
const more = Number(process.env["FUZZ"] ?? 1)

const nasty = [
  ..."'\\\n\r\t\b\f\u0001\u007f#= %\"$;*:,&|<>()[]{}@/+-.".split(""),
  "\\n",
  "\\101",
  "''",
  '""',
  "\\\\'",
  "ä",
  "€",
  "𝄞",
  "e",
  "0",
]
const word = (random: Random, from: readonly string[], length: number): string =>
  Array.from({ length }, () => from[random.below(from.length)] ?? "").join("")

/** A superuser's session that outlives whatever is written into pg_hba.conf. */
function superuser(a: Keeper): Session {
  return newSession(sourceTarget(a.source, a.settings.superuser, {}), a.settings.clock, seconds(10))
}

/** Names that mean something else while they are not quoted, and names made of anything. */
function names(random: Random): readonly string[] {
  const reserved = ["all", "ALL", "replication", "sameuser", "samerole", "+x", "@file", "a,b"]
  const odd = ["a b", ' "', "#x", "ümlaut", "a\\", "x-y", "1st", "0", "$user", ".x", "'", "a\tb"]
  const plain = nasty.filter((c) => !/[\n\r]/.test(c))
  const drawn = Array.from(
    { length: 15 * more },
    (_, i) => `n${word(random, plain, 1 + random.below(6))}${i}`,
  )
  // no role can have a longer name, nor one that PostgreSQL keeps for itself
  return [...reserved, ...odd, ...drawn].filter((name) => Buffer.byteLength(name) < 63)
}

const hbaRow = v.object({ name: v.string(), names: v.string(), error: v.string() })

if (asPostgres(import.meta.path)) {
  // one server for all: the tests stand in an order in which it can go on
  let a: Keeper
  beforeAll(async () => {
    a = await keeper("a")
    await primary(a)
  }, 60_000)
  afterAll(() => a?.[Symbol.asyncDispose]())

  test(`D-47 any value survives postgresql.conf, as the server reads it (seed ${seed})`, async () => {
    const random = generator(seed)
    const values = Array.from({ length: 600 * more }, () => word(random, nasty, random.below(12)))
    const wanted = new Map(values.map((value, i): [string, string] => [`fuzz.p${i}`, value]))
    const plain = files(a)
    const conf = `${plain.conf}${formatConf(wanted)}`
    await a.run({ kind: "write-config", files: { ...plain, conf } })
    const { fileParameters } = await a.up()
    const read = (all: ReadonlyMap<string, string>): Map<string, string> =>
      new Map([...all].filter(([name]) => name.startsWith("fuzz.")))
    const sorted = new Map([...wanted].toSorted(([x], [y]) => (x < y ? -1 : 1)))
    expect(read(fileParameters)).toEqual(sorted)
    expect(new Map([...read(parseConf(conf))].toSorted(([x], [y]) => (x < y ? -1 : 1)))).toEqual(
      sorted,
    )
  }, 60_000)

  test(`D-47 any user with any password gets in by conninfo and password file (seed ${seed})`, async () => {
    const random = generator(seed + 3)
    const session = superuser(a)
    const users = names(random).filter((name) => name.toLowerCase() !== "replication")
    const characters = nasty.filter((c) => !/[\n\r\u0001\u007f\b\f]/.test(c))
    const passwords = new Map(
      users.map((name) => [name, `p${word(random, characters, 1 + random.below(8))}`]),
    )
    for (const [name, password] of passwords)
      await session.run(
        `create role ${identifier(name)} login replication password ${literal(password)}`,
        never,
      )
    const plain = files(a, { revision: "fuzz" })
    const rules = users.map((name) =>
      formatHba({
        settings: {
          ...keeperSettings,
          superuser: a.settings.superuser,
          replication: { name, method: "scram-sha-256", password: "" },
        },
        peers: null,
        rules: [],
        guard: "none",
      }),
    )
    await a.run(
      { kind: "write-config", files: { ...plain, hba: [...rules, plain.hba].join("") } },
      { kind: "reload", revision: "fuzz", timeout: seconds(10) },
    )
    const file = join(a.dataDir, "pass")
    for (const [user, password] of passwords) {
      const pairs: readonly (readonly [string, string])[] = [
        ["host", "127.0.0.1"],
        ["port", a.settings.port],
        ["user", user],
        ["replication", "1"],
      ]
      await Bun.write(file, passLine(password))
      chmodSync(file, 0o600)
      const whole = new Map([...pairs, ["password", password] as const])
      expect(parseConninfo(formatConninfo(whole))).toEqual(
        new Map([...whole].toSorted(([x], [y]) => (x < y ? -1 : 1))),
      )
      expect([user, await identify(formatConninfo(whole), "/nonexistent")]).toEqual([user, ""])
      expect([user, await identify(conninfo(Object.fromEntries(pairs)), file)]).toEqual([user, ""])
    }
    session.close()
  }, 120_000)

  test(`D-47 any value survives postgresql.conf, as postgres -C prints it (seed ${seed})`, async () => {
    const random = generator(seed + 1)
    const plain = files(a)
    for (let i = 0; i < 25 * more; i++) {
      const wanted = new Map(
        ["archive_command", "primary_conninfo", "restore_command"].map((name) => [
          name,
          // a connection string is checked for nothing until somebody connects
          word(random, nasty, random.below(12)),
        ]),
      )
      const conf = `${plain.conf}${formatConf(wanted)}`
      writeFileSync(join(a.pgData, "postgresql.conf"), conf)
      for (const [name, value] of wanted) {
        const argv = [join(bin, "postgres"), "-D", a.pgData, "-C", name]
        const { stdout, stderr } = Bun.spawnSync(argv, { env: { LC_ALL: "C.UTF-8" } })
        expect([name, stdout.toString(), stderr.toString()]).toEqual([name, `${value}\n`, ""])
      }
    }
  }, 60_000)

  test(`D-47 any user name survives pg_hba.conf and means itself there (seed ${seed})`, async () => {
    const session = superuser(a)
    await session.run("select 1", never)
    const all = names(generator(seed + 2))
    const hba = all
      .map((name) =>
        formatHba({
          settings: {
            ...keeperSettings,
            superuser: { name, method: "scram-sha-256", password: "x" },
            replication: { name, method: "md5", password: "x" },
          },
          peers: ["10.0.0.1", "fd00::1", "db.example.org"],
          rules: [],
          guard: "none",
        }),
      )
      .join("")
    writeFileSync(join(a.pgData, "pg_hba.conf"), hba)
    const rows = await session.query(
      hbaRow,
      "select user_name[1] as name, array_length(user_name, 1)::text as names, " +
        "coalesce(error, '') as error from pg_hba_file_rules order by line_number",
      never,
    )
    const perName = 8 // two local ones, two for each peer
    expect(rows.length).toBe(all.length * perName)
    for (const [i, row] of rows.entries()) {
      const name = all[Math.floor(i / perName)]
      expect(row).toEqual({ name: name ?? "", names: "1", error: "" })
    }
    session.close()
  }, 60_000)

  test("D-47 what no file can hold is refused with the reason, and PostgreSQL is not touched", async () => {
    expect(refusal("work_mem", "4MB\0", 15)).toBe("its value holds a zero byte")
    expect(refusal("work_mem\nfsync", "off", 15)).toBe("it is not a parameter's name")
    expect(refusal("fsync = off #", "on", 15)).toBe("it is not a parameter's name")
    for (const password of ["a\nb", "a\rb", "a\0b"])
      expect(() => passLine(password)).toThrow("a password with a line break cannot be given")
  })
}

/** What psql complains of. */
async function identify(info: string, passFile: string): Promise<string> {
  const child = Bun.spawn([join(bin, "psql"), "-w", "-X", "-d", info, "-c", "IDENTIFY_SYSTEM"], {
    env: { PGPASSFILE: passFile, PGCLIENTENCODING: "UTF8" },
    stdio: ["ignore", "ignore", "pipe"],
  })
  return (await new Response(child.stderr).text()).trim()
}
