/**
 * The units: our own words in them are ours, the environment files say nothing that we would not
 * read, and systemd itself finds nothing wrong.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Values } from "#cli/flag.ts"
import { generateSystemdCommand } from "#cli/generate.ts"
import type { systemdFlags } from "#cli/generate-flags.ts"
import { parse } from "#cli/parse.ts"
import type { File, Passwords } from "#ctl/generate.ts"
import { placeOf, stream, systemd } from "#ctl/generate-systemd.ts"
import { told } from "./generated.ts"

const passwords = { superuser: "aa11", replication: "bb22" }
const variants: readonly (readonly string[])[] = [
  ["--address=10.0.0.11", "--uid=pg1"],
  ["--data-dir=/srv/pg", "--user=db", "--pg-bin-path=/usr/lib/postgresql/17/bin", "--pg-port=6000"],
  ["--store-backend=sqlite", "--store-endpoints=/srv/stolon/store.db", "--stop-timeout=5m"],
  ["--store-ca-file=/etc/ca.pem", "--store-user=app", "--listen-address=::", "--port=7000"],
]

function choice(argv: readonly string[]): Values<typeof systemdFlags> {
  const etcd = argv.some((word) => word.startsWith("--store-endpoints"))
  const needed = etcd ? [] : ["--store-endpoints=http://e1:2379,http://e2:2379"]
  const words = ["--cluster-name=prod", ...needed, ...argv]
  const parsed = parse(generateSystemdCommand, words, {}, "stolon")
  if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
  return parsed.values
}
const made = (argv: readonly string[], given: Passwords | null = null): readonly File[] =>
  systemd(choice(argv), given)
const textOf = (files: readonly File[], name: string): string =>
  files.find((file) => file.name === name)?.text ?? ""
/** All values of a setting. */
const setting = (unit: string, key: string): readonly string[] =>
  unit
    .split("\n")
    .flatMap((line) => (line.startsWith(`${key}=`) ? [line.slice(key.length + 1)] : []))

/** What systemd makes of an environment file, as far as ours go. */
const variables = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text.split("\n").flatMap((line) => {
      const [, name = "", value = ""] = /^(\w+)=(.*)$/.exec(line) ?? []
      return name === "" || value === "" ? [] : [[name, value]]
    }),
  )

const named = variants.map((argv) => [argv.join(" "), argv] as const)
describe.each(named)("systemd() %s", (_, argv) => {
  const files = made(argv, passwords)
  const it = choice(argv)

  test("every command line and every variable is one that our parser knows", () => {
    const shared = variables(textOf(files, "stolon.env"))
    for (const component of ["keeper", "sentinel", "proxy"]) {
      const unit = textOf(files, `stolon-${component}.service`)
      const [start = ""] = setting(unit, "ExecStart")
      const [binary, ...words] = start.split(" ")
      expect(binary).toBe(it.binary)
      const own = component === "keeper" ? variables(textOf(files, "keeper.env")) : {}
      const { sources, values } = told(words, { ...shared, ...own })
      for (const name of [...Object.keys(shared), ...Object.keys(own)])
        expect(sources).toContain(name)
      expect(values["clusterName"]).toBe("prod")
      expect(values["storeEndpoints"]).toEqual(it.storeEndpoints)
      expect(setting(unit, "User")).toEqual([it.user])
    }
  })

  test("what stands in a comment of an environment file is read, too, once it is none", () => {
    const uncommented = (name: string): Readonly<Record<string, string>> =>
      variables(textOf(files, name).replace(/^# (ST\w+=)/gm, "$1"))
    const all = { ...uncommented("stolon.env"), ...uncommented("keeper.env") }
    for (const component of ["keeper", "sentinel", "proxy"]) {
      const { sources } = told([component], all)
      const mine = Object.keys(all).filter((name) =>
        name.startsWith(`ST${component.toUpperCase()}_`),
      )
      for (const name of mine) expect(sources).toContain(name)
    }
    const known = /^ST(?:OLON|KEEPER|SENTINEL|PROXY)_/
    for (const name of Object.keys(all)) expect(name).toMatch(known)
  })
})

describe("systemd()", () => {
  const files = made(["--stop-timeout=90s", "--shutdown-timeout=20s"])
  const keeper = textOf(files, "stolon-keeper.service")

  test("PostgreSQL is never killed by systemd, and outlives a keeper that was", () => {
    expect(setting(keeper, "KillMode")).toEqual(["process"])
    expect(setting(keeper, "OOMPolicy")).toEqual(["continue"])
    expect(setting(keeper, "TimeoutStopSec")).toEqual(["90s"])
    // a new keeper has to find the socket of the PostgreSQL that it takes over
    expect(setting(keeper, "PrivateTmp")).toEqual([])
    expect(setting(keeper, "Restart")).toEqual(["always"])
    expect(setting(textOf(files, "stolon-proxy.service"), "TimeoutStopSec")).toEqual(["25s"])
  })

  test("no unit forbids what runtime and PostgreSQL need: code that is made at run time", () => {
    for (const { name, text } of files)
      if (name.endsWith(".service")) expect(text).not.toContain("MemoryDenyWriteExecute")
  })

  test("passwords are in the keeper's file alone, which others may not read, and only if asked", () => {
    expect(textOf(files, "keeper.env")).toContain("STKEEPER_PG_SU_PASSWORD=\n")
    const asked = made([], passwords)
    for (const { name, text, mode } of asked) {
      expect(text.includes("aa11")).toBe(name === "keeper.env")
      expect(mode).toBe(name.endsWith(".env") ? 0o600 : 0o644)
    }
  })

  test("without passwords or an address the keeper says what is missing instead of starting", () => {
    const env = variables(textOf(files, "keeper.env"))
    expect(env).toEqual({})
  })

  test("only the parts that were asked for", () => {
    expect(made(["--parts=proxy"]).map(({ name }) => name)).toEqual([
      "stolon.env",
      "stolon-proxy.service",
    ])
  })

  test("systemd makes the directory of the keeper where it may", () => {
    expect(setting(keeper, "StateDirectory")).toEqual(["stolon/keeper"])
    const elsewhere = textOf(made(["--data-dir=/srv/pg"]), "stolon-keeper.service")
    expect(setting(elsewhere, "StateDirectory")).toEqual([])
  })

  test("the stream names the place of each file", () => {
    const text = stream(files, (name) => placeOf(choice([]), name))
    expect(text.match(/^# ==> .* <==$/gm)).toEqual([
      "# ==> /etc/stolon/stolon.env <==",
      "# ==> /etc/stolon/keeper.env <==",
      "# ==> /etc/systemd/system/stolon-keeper.service <==",
      "# ==> /etc/systemd/system/stolon-sentinel.service <==",
      "# ==> /etc/systemd/system/stolon-proxy.service <==",
    ])
  })
})

const analyze = Bun.which("systemd-analyze")
const title = "systemd-analyze verify finds nothing wrong with any unit"
describe.skipIf(analyze === null)(
  analyze === null ? `${title} (skipped: systemd-analyze is not installed)` : title,
  () => {
    let directory = ""
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), "stolon-units-"))
    })
    afterAll(() => rmSync(directory, { recursive: true, force: true }))

    const verify = (units: readonly File[]): { readonly exit: number; readonly said: string } => {
      const paths = units.map(({ name, text }) => {
        const path = join(directory, name)
        writeFileSync(path, text)
        return path
      })
      const ran = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", ...paths], {
        // no look at the units of this machine, which are none of ours
        env: { PATH: process.env["PATH"] ?? "", SYSTEMD_UNIT_PATH: `${directory}:` },
      })
      const said = ran.stderr.toString() + ran.stdout.toString()
      return {
        exit: ran.exitCode,
        said: said
          .split("\n")
          .filter((line) => ours(line))
          .join("\n"),
      }
    }
    const ours = (line: string): boolean => line.includes("stolon")
    const units = (argv: readonly string[]): readonly File[] =>
      made([...argv, "--binary=/bin/sh"]).filter(({ name }) => name.endsWith(".service"))

    test.each(named)("%s", (_, argv) => {
      expect(verify(units(argv))).toEqual({ exit: 0, said: "" })
    })
    test("it would find a slip", () => {
      const slip = units([]).map((file) => ({
        ...file,
        text: file.text.replace("KillMode=", "KilMode="),
      }))
      expect(verify(slip).said).toContain("KilMode")
    })
  },
)
