/**
 * The adapter's small readers and writers: state files, pg_controldata, history files, names of
 * WAL, password files.
 */
import { expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { lsn } from "#base/lsn.ts"
import { generation, nonce } from "#model/ids.ts"
import { parseControl } from "#postgres/control.ts"
import { oldestWalFile, readDataDir } from "#postgres/datadir.ts"
import { divergentFiles, segmentNumber } from "#postgres/divergent.ts"
import { readConfigFiles } from "#postgres/files.ts"
import { checksumFlags, expand } from "#postgres/initialise.ts"
import { isSecretOf } from "#postgres/roles.ts"
import { identifier, literal } from "#postgres/session.ts"
import { placesBelow, type PostgresSettings } from "#postgres/settings.ts"
import {
  decodeDBState,
  decodeKeeperState,
  encodeDBState,
  encodeKeeperState,
  readCertificate,
  readDBState,
  readHandled,
  readKeeperState,
  readMark,
} from "#postgres/state.ts"
import { parseHistory } from "#postgres/timeline.ts"
import { conninfo, passLine, percentOf, writeSecret } from "#postgres/tool.ts"
import { parseVersion, versionReader } from "#postgres/version.ts"
import { realClock } from "#system/clock.ts"
import { clusterUID, dbUID, keeperUID } from "./ids.ts"

function temp(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "stolon-files-"))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

test("keeperstate and dbstate are written byte for byte as Go does", () => {
  const keeper = { uid: keeperUID("keeper4"), clusterUID: clusterUID("d8458580") }
  expect(encodeKeeperState(keeper)).toBe('{"UID":"keeper4","ClusterUID":"d8458580"}')
  expect(decodeKeeperState('{"UID":"keeper4","ClusterUID":"d8458580"}')).toEqual(keeper)
  const db = {
    uid: dbUID("51a86913"),
    generation: generation(2),
    initializing: false,
    initPGParameters: null,
  }
  const plain = '{"UID":"51a86913","Generation":2,"Initializing":false,"InitPGParameters":null}'
  expect(encodeDBState(db)).toBe(plain)
  expect(decodeDBState(plain)).toEqual(db)
  const parameters = new Map([
    ["work_mem", "5MB"],
    ["archive_command", "cp %p /a/%f && x <y>"],
  ])
  expect(encodeDBState({ ...db, initializing: true, initPGParameters: parameters })).toBe(
    '{"UID":"51a86913","Generation":2,"Initializing":true,"InitPGParameters":' +
      '{"archive_command":"cp %p /a/%f \\u0026\\u0026 x \\u003cy\\u003e","work_mem":"5MB"}}',
  )
})

test("missing state files are the zero state, damaged ones throw with their path", async () => {
  using directory = temp()
  const places = placesBelow(directory.path)
  expect(await readKeeperState(places)).toEqual({ uid: keeperUID(""), clusterUID: clusterUID("") })
  expect(await readDBState(places)).toEqual({
    uid: dbUID(""),
    generation: generation(0),
    initializing: false,
    initPGParameters: null,
  })
  expect(await readMark(places)).toBeNull()
  expect(await readCertificate(places)).toBeNull()
  writeFileSync(places.dbState, '{"UID":')
  writeFileSync(places.mark, '{"kind":"other","db":"x"}')
  await expect(readDBState(places)).rejects.toThrow(`cannot use the state file ${places.dbState}`)
  await expect(readMark(places)).rejects.toThrow(places.mark)
})

const controldata = (more = ""): string => `${more}pg_control version number:            1300
Database system identifier:           7711032768238912036
Database cluster state:               in production
Latest checkpoint location:           0/3000028
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/30001A0
Min recovery ending loc's timeline:   2
wal_log_hints setting:                on
max_connections setting:              150
Bytes per WAL segment:                16777216
Data page checksum version:           0
`

test("parseControl() takes the highest timeline: just after a promotion the checkpoint names the old one", () => {
  expect(parseControl(controldata())).toEqual({
    systemID: "7711032768238912036",
    state: "in production",
    checkpoint: lsn(0x3000028n),
    timeline: 2,
    minRecoveryEnd: lsn(0x30001a0n),
    checksums: false,
    walLogHints: true,
    segmentBytes: 16_777_216,
    floors: new Map([["max_connections", 150]]),
  })
})

test("parseControl() believes nothing of a damaged file, and throws when a label is missing", () => {
  expect(
    parseControl(
      controldata("WARNING: Calculated CRC checksum does not match value stored in file.\n"),
    ),
  ).toBeNull()
  expect(() => parseControl("nothing")).toThrow("Database system identifier")
})

test("parseHistory() reads lines, skips comments, refuses nonsense", () => {
  const text =
    '# comment\n1\t0/3000160\tno recovery target specified\n\n2\tA/B\tat restore point "x y"\nshort line\n'
  expect(parseHistory(text)).toEqual([
    { timelineID: 1, switchPoint: lsn(0x3000160n), reason: "no recovery target specified" },
    { timelineID: 2, switchPoint: lsn(0xa_0000_000bn), reason: 'at restore point "x y"' },
  ])
  expect(() => parseHistory("one 0/1 reason")).toThrow("not a line of a timeline history")
})

test("parseVersion() reads releases, betas and development versions", () => {
  const of = (text: string) => parseVersion(`postgres (PostgreSQL) ${text}\n`)
  expect(of("15.18 (Debian 15.18-0+deb12u1)")).toEqual({ Maj: 15, Min: 18 })
  expect(of("17beta1")).toEqual({ Maj: 17, Min: 0 })
  expect(of("18devel")).toEqual({ Maj: 18, Min: 0 })
  expect(of("9.6.24")).toEqual({ Maj: 9, Min: 6 })
  expect(() => parseVersion("postgres: command not found")).toThrow("not a PostgreSQL version")
})

test("readDataDir() tells missing, partial and whole", async () => {
  using directory = temp()
  const pg = join(directory.path, "postgres")
  const look = () => readDataDir(pg, async () => null)
  expect(await look()).toEqual({ kind: "missing" })
  mkdirSync(join(pg, "lost+found"), { recursive: true })
  expect(await look()).toEqual({ kind: "missing" })
  writeFileSync(join(pg, "PG_VERSION"), "15\n")
  expect(await look()).toEqual({ kind: "partial" })
  const names =
    "base global pg_dynshmem pg_logical pg_multixact pg_notify pg_replslot pg_serial pg_snapshots pg_stat pg_stat_tmp pg_subtrans pg_tblspc pg_twophase pg_xact pg_wal"
  for (const name of names.split(" ")) mkdirSync(join(pg, name))
  expect(await look()).toEqual({ kind: "partial" })
  const control = Buffer.alloc(8192)
  control.writeBigUInt64LE(18_000_000_000_000_000_001n)
  writeFileSync(join(pg, "global", "pg_control"), control)
  writeFileSync(join(pg, "standby.signal"), "")
  writeFileSync(join(pg, "pg_wal", "00000002.history"), "1\t0/3000160\twhy not\n")
  expect(await look()).toEqual({
    kind: "initialized",
    role: "standby",
    systemID: "18000000000000000001",
    major: 15,
    control: null,
    newest: 2,
    history: [{ timelineID: 1, switchPoint: lsn(0x3000160n), reason: "why not" }],
  })
  rmSync(join(pg, "pg_snapshots"), { recursive: true })
  expect(await look()).toEqual({ kind: "partial" })
})

test("readConfigFiles() is null without both files, and standby.signal goes before recovery.signal", async () => {
  using directory = temp()
  const pg = directory.path
  writeFileSync(join(pg, "postgresql.conf"), "a = 'b'\n")
  expect(await readConfigFiles(pg)).toBeNull()
  writeFileSync(join(pg, "pg_hba.conf"), "local all all trust\n")
  expect(await readConfigFiles(pg)).toEqual({
    conf: "a = 'b'\n",
    hba: "local all all trust\n",
    signal: "none",
  })
  writeFileSync(join(pg, "recovery.signal"), "")
  expect((await readConfigFiles(pg))?.signal).toBe("recovery")
  writeFileSync(join(pg, "standby.signal"), "")
  expect((await readConfigFiles(pg))?.signal).toBe("standby")
})

const segment = 1 << 20

test("divergentFiles() takes written segments from the fork on, and histories, but nothing made ahead", async () => {
  using directory = temp()
  const page = (start: bigint): Buffer => {
    const buffer = Buffer.alloc(segment)
    buffer.writeBigUInt64LE(start, 8)
    return buffer
  }
  const put = (name: string, start: number): void =>
    writeFileSync(join(directory.path, name), page(BigInt(start * segment)))
  put("000000010000000000000004", 4)
  put("000000010000000000000005", 5)
  put("000000020000000000000006.partial", 6)
  put("000000020000000000000007", 3) // made ahead from an old one
  put("000000020000000100000000", 4096)
  writeFileSync(join(directory.path, "00000002.history"), "")
  writeFileSync(join(directory.path, "000000020000000000000008"), "")
  const where = { wal: directory.path, segmentBytes: segment }
  const since = lsn(BigInt(5 * segment + 17))
  const newer = [
    "00000002.history",
    "000000020000000000000006.partial",
    "000000020000000100000000",
  ] as const
  expect(await divergentFiles(where, { since, without: new Set() })).toEqual([
    "000000010000000000000005",
    ...newer,
  ])
  expect(await divergentFiles(where, { since, without: new Set([1]) })).toEqual([...newer])
  expect(segmentNumber("0000000200000001000000FF", 16 << 20)).toBe(511n)
  expect(segmentNumber("archive_status", 16 << 20)).toBeNull()
})

test("D-39 the oldest WAL file is named for every segment size, half-made ones are not", async () => {
  using directory = temp()
  const wal = join(directory.path, "pg_wal")
  expect(await oldestWalFile(directory.path, 16 << 20)).toBe("")
  mkdirSync(wal)
  writeFileSync(join(wal, "000000010000000000000005"), Buffer.alloc(16 << 20))
  writeFileSync(join(wal, "00000002.history"), "")
  expect(await oldestWalFile(directory.path, 16 << 20)).toBe("000000010000000000000005")
  writeFileSync(join(wal, "000000010000000000000004"), Buffer.alloc(1 << 20))
  expect(await oldestWalFile(directory.path, 16 << 20)).toBe("")
  expect(await oldestWalFile(directory.path, 1 << 20)).toBe("000000010000000000000004")
})

test("D-53 a secret of pg_authid is told to fit a password or not, in both kinds", () => {
  const md5 = "md5f2dc7b1a2dcf8a4ad1b4b8c9c2a0a2a0"
  expect(isSecretOf(md5, "repl", "replpw", false)).toBeFalse()
  const good = `md5${new Bun.CryptoHasher("md5").update("replpwrepl").digest("hex")}`
  expect(isSecretOf(good, "repl", "replpw", false)).toBeTrue()
  expect(isSecretOf(good, "repl", "replpw", true)).toBeFalse() // SCRAM is asked for
  expect(isSecretOf("", "repl", "replpw", false)).toBeFalse()
})

test("D-67 a password for a program goes by a file for its owner alone", async () => {
  using directory = temp()
  const path = await writeSecret(placesBelow(directory.path), passLine("geheim"))
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(conninfo({ host: "h", user: "u" })).not.toContain("password")
})

test("D-71 checksums are what was asked for, also where initdb's default is another", () => {
  expect(checksumFlags(false, 17)).toEqual([])
  expect(checksumFlags(true, 17)).toEqual(["--data-checksums"])
  expect(checksumFlags(false, 18)).toEqual(["--no-data-checksums"])
  expect(checksumFlags(true, 18)).toEqual(["--data-checksums"])
})

test("D-50 the version is asked for once, and again when the program was replaced", async () => {
  using directory = temp()
  const count = join(directory.path, "asked")
  const install = (version: string): void => {
    rmSync(join(directory.path, "postgres"), { force: true })
    const script = `#!/bin/sh\necho x >> ${count}\necho "postgres (PostgreSQL) ${version}"\n`
    writeFileSync(join(directory.path, "postgres"), script, { mode: 0o755 })
  }
  const read = versionReader({ ...noSettings, binPath: directory.path })
  const { signal } = new AbortController()
  install("15.4")
  for (let i = 0; i < 5; i++) expect(await read(signal)).toEqual({ Maj: 15, Min: 4 })
  expect(readFileSync(count, "utf8")).toBe("x\n")
  install("15.12")
  expect(await read(signal)).toEqual({ Maj: 15, Min: 12 })
  install("broken")
  rmSync(join(directory.path, "postgres"))
  await expect(read(signal)).rejects.toThrow() // nothing is done by a guess
})
const account = { name: "u", method: "md5", password: "p" } as const
const noSettings: PostgresSettings = {
  dataDir: "",
  binPath: "",
  port: "5432",
  socketDirectory: "",
  superuser: account,
  replication: account,
  requestTimeout: millis(1_000),
  initialDeadline: millis(1_000),
  store: null,
  clock: realClock,
  log: { event: () => {} },
}

test("passwords, names and commands are quoted for whoever reads them", () => {
  expect(passLine("a:b\\c d'")).toBe("*:*:*:*:a\\:b\\\\c d'\n")
  expect(() => passLine("a\nb")).toThrow("line break")
  expect(conninfo({ host: "::1", options: "-c a=b", user: "o'r\\x" })).toBe(
    "host='::1' options='-c a=b' user='o\\'r\\\\x'",
  )
  expect(literal("o'r\\x")).toBe("E'o''r\\\\x'")
  expect(identifier('we"ird')).toBe('"we""ird"')
  expect(() => literal("\0")).toThrow("zero byte")
  expect(expand("fetch %d 100%% %p %%%d %", "/x")).toBe("fetch /x 100% %p %/x %")
})

test("percentOf() reads the meters of pg_basebackup and pg_rewind", () => {
  expect(percentOf("  23456/98765 kB (23%), 0/1 tablespace")).toBe(23)
  expect(percentOf(" 84211/84211 kB (100%) copied")).toBe(100)
  expect(percentOf("pg_basebackup: base backup completed")).toBeNull()
})

test("fulfilled wishes are read back; no file and a damaged one count as none", async () => {
  using place = temp()
  const places = placesBelow(place.path)
  expect(await readHandled(places)).toEqual([])
  writeFileSync(places.handled, '["a1b2c3d4","e5f6a7b8"]')
  expect(await readHandled(places)).toEqual([nonce("a1b2c3d4"), nonce("e5f6a7b8")])
  // once more is better than a keeper that does nothing at all
  writeFileSync(places.handled, '["a1b2')
  expect(await readHandled(places)).toEqual([])
})
