/**
 * Any value of a parameter, any password, survives our quoting and PostgreSQL's own parsers (D-47).
 */
import { expect, test } from "bun:test"
import { formatConf } from "#keeper/conf.ts"
import { generator } from "#base/random.ts"
import { chmodSync } from "node:fs"
import { join } from "node:path"
import { formatConninfo } from "#keeper/conninfo.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { literal, newSession } from "#postgres/session.ts"
import { conninfo, passLine } from "#postgres/tool.ts"
import { asPostgres } from "../run-as.ts"
import { bin, files, keeper, never, primary, seconds } from "./keeper.ts"

const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000)

if (asPostgres(import.meta.path)) {
  test(`any value survives postgresql.conf (seed ${seed})`, async () => {
    await using a = await keeper("a")
    await primary(a)
    const random = generator(seed)
    const nasty = [
      "'",
      "\\",
      "\n",
      "\r",
      "\t",
      "\b",
      "\f",
      "\u0001",
      "\u007f",
      "#",
      "=",
      " ",
      "%",
      '"',
      "$",
      ";",
      "\\n",
      "\\101",
      "''",
      "ä",
      "€",
      "𝄞",
      "e",
      "0",
    ]
    const values = Array.from({ length: 600 }, () =>
      Array.from({ length: random.below(12) }, () => nasty[random.below(nasty.length)] ?? "").join(
        "",
      ),
    )
    const wanted = new Map(values.map((value, i): [string, string] => [`fuzz.p${i}`, value]))
    const plain = files(a)
    await a.run({
      kind: "write-config",
      files: { ...plain, conf: `${plain.conf}${formatConf(wanted)}` },
    })
    const { fileParameters } = await a.up()
    expect(new Map([...fileParameters].filter(([name]) => name.startsWith("fuzz.")))).toEqual(
      new Map([...wanted].toSorted(([x], [y]) => (x < y ? -1 : 1))),
    )
  }, 60_000)

  test(`any password gets through SQL, connection strings and password files (seed ${seed})`, async () => {
    await using a = await keeper("a")
    await primary(a)
    const random = generator(seed)
    const nasty = ["'", "\\", ":", " ", "#", "=", '"', "%", "$", "ä", "€", "x", "\t", "*"]
    const target = sourceTarget(a.source, a.settings.superuser, {})
    const session = newSession(target, a.settings.clock, seconds(10))
    for (let i = 0; i < 15; i++) {
      const length = 1 + random.below(8)
      const password = `p${Array.from({ length }, () => nasty[random.below(nasty.length)] ?? "").join("")}`
      await session.run(`alter role repl password ${literal(password)}`, never)
      const pairs: readonly (readonly [string, string])[] = [
        ["host", "127.0.0.1"],
        ["port", a.settings.port],
        ["user", "repl"],
        ["replication", "1"],
      ]
      const file = join(a.dataDir, "pass")
      await Bun.write(file, passLine(password))
      chmodSync(file, 0o600)
      expect(
        await identify(formatConninfo(new Map([...pairs, ["password", password]])), "/nonexistent"),
      ).toBe("")
      expect(await identify(conninfo(Object.fromEntries(pairs)), file)).toBe("")
    }
    session.close()
  }, 60_000)
}

/** What psql complains of. */
async function identify(info: string, passFile: string): Promise<string> {
  const child = Bun.spawn([join(bin, "psql"), "-w", "-X", "-d", info, "-c", "IDENTIFY_SYSTEM"], {
    env: { PGPASSFILE: passFile, PGCLIENTENCODING: "UTF8" },
    stdio: ["ignore", "ignore", "pipe"],
  })
  return (await new Response(child.stderr).text()).trim()
}
