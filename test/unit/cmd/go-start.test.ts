/**
 * How a component ends under a Go name when its metrics port is taken (reference 8.1), its
 * initial specification is wrong (1.5) or a signal comes (8.4), and what a keeper says of its
 * passwords before (1.4).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { chmod, mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { takeLock } from "#system/lock.ts"
import { onSqlite } from "./played.ts"

let dir = ""
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-start-"))
  for (const name of ["stolon-keeper", "stolon-sentinel", "stolon-proxy"])
    await symlink(process.execPath, join(dir, name))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

interface Ended {
  readonly exit: number
  readonly stderr: string
}

/** A program from source, on a store of its own. */
async function run(program: string, ...argv: readonly string[]): Promise<Ended> {
  const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
  const go = program.startsWith("stolon-")
  const command = go ? [join(dir, program), entry] : [process.execPath, entry, program]
  await using child = Bun.spawn([...command, ...argv], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", ...onSqlite(join(dir, "store.db")) },
  })
  const [stderr, exit] = await Promise.all([child.stderr.text(), child.exited])
  return { exit, stderr }
}

test.each([
  ["stolon-sentinel", 0, /^.*\tERROR\t.*\tmetrics http server error\t.*\n$/m],
  ["stolon-proxy", 1, /^.*\tFATAL\t.*\n$/m],
])("%s without its metrics port ends with %i, as Go's", async (program, exit, told) => {
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
  const ended = await run(program, `--metrics-listen-address=127.0.0.1:${taken.port}`)
  expect(ended.stderr).toMatch(told)
  expect(ended.exit).toBe(exit)
})

test.each([
  ["stolon-sentinel", "sentinel"],
  ["stolon-proxy", "cluster checker"],
])("%s on Kubernetes needs POD_NAME to make its %s", async (program, part) => {
  const kubernetes = ["--store-backend=kubernetes", "--kube-resource-kind=configmap"]
  const ended = await run(program, ...kubernetes)
  const why = `cannot create ${part}: cannot create store: missing required env variable "POD_NAME"`
  expect(ended.stderr).toMatch(/\tFATAL\t/)
  expect(ended.stderr).toContain(`\t${why}\n`)
  expect(ended.exit).toBe(1)
})

test.each([
  ["stolon-sentinel", "null", 2, "panic: runtime error: invalid memory address"],
  [
    "stolon-sentinel",
    "{",
    1,
    "\tcannot create sentinel: cannot parse provided initial cluster config: unexpected end of JSON input\n",
  ],
  [
    "stolon-sentinel",
    "{}",
    1,
    "\tcannot create sentinel: invalid initial cluster: initMode undefined\n",
  ],
  [
    "sentinel",
    '{"initMode":"new","failIntervall":"3s"}',
    1,
    "stolon sentinel: --initial-cluster-spec: the specification: failIntervall: no such key; did you mean failInterval?\n",
  ],
])("%s refuses the initial specification %s with %i", async (program, spec, exit, told) => {
  const path = join(dir, "spec.json")
  await Bun.write(path, spec)
  const ended = await run(program, `--initial-cluster-spec=${path}`)
  expect(ended.stderr).toContain(told)
  expect(ended.exit).toBe(exit)
})

describe("stolon-keeper", () => {
  const file = async (name: string, text: string, mode = 0o600): Promise<string> => {
    const path = join(dir, name)
    await Bun.write(path, text)
    await chmod(path, mode)
    return path
  }
  const begin = (data: string, ...flags: readonly string[]): Promise<Ended> =>
    run(
      "stolon-keeper",
      `--data-dir=${join(dir, data)}`,
      "--pg-listen-address=192.0.2.1",
      "--pg-repl-username=r",
      "--pg-su-username=s",
      "--uid=Not_Valid", // the last check before anything is touched
      ...flags,
    )
  /** Level, message and context of each line. */
  const said = ({ stderr }: Ended): readonly string[] =>
    stderr
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [, level, , ...rest] = line.split("\t")
        return [level, ...rest].join(" ")
      })
  const badUid =
    'FATAL keeper uid "Not_Valid" not valid. It can contain only lower-case letters, numbers and the underscore character'

  test("reads its password files, the replication user's first, and trims both, the superuser's first", async () => {
    const open = await file("repl", "one\r\n\n", 0o644)
    const closed = await file("su", "two\n")
    const ended = await begin(
      "a",
      `--pg-repl-passwordfile=${open}`,
      `--pg-su-passwordfile=${closed}`,
    )
    expect(ended.exit).toBe(1)
    expect(said(ended)).toEqual([
      `WARN password file permissions are too open. This file should only be readable to the user executing stolon! Continuing... {"file": "${open}", "mode": "0644"}`,
      "WARN superuser password contain trailing new line, removing",
      "WARN replication user password contain trailing new line, removing",
      "INFO exclusive lock on data dir taken",
      badUid,
    ])
  })

  test.each([
    ["repl", "x", "replication user password is empty after removing trailing new line"],
    ["su", "x", "superuser password is empty after removing trailing new line"],
  ])("refuses an empty password file of %s", async (who, text, message) => {
    const [empty, full] = [await file(`${who}-empty`, "\n"), await file(`${who}-full`, text)]
    const other = who === "su" ? "repl" : "su"
    const ended = await begin(
      `data-of-${who}`,
      `--pg-${who}-passwordfile=${empty}`,
      `--pg-${other}-passwordfile=${full}`,
    )
    expect([ended.exit, said(ended).at(-1)]).toEqual([1, `FATAL ${message}`])
  })

  test("warns of trust and of addresses, and needs no lock when it is told so", async () => {
    const ended = await begin(
      "b",
      "--pg-repl-auth-method=trust",
      "--pg-su-auth-method=trust",
      "--pg-advertise-address=localhost",
      "--disable-data-dir-locking",
    )
    const starts = [
      'WARN provided --pg-advertise-address "localhost": not an ip address but a hostname.',
      'WARN provided --pg-advertise-address "localhost" is a loopback ip.',
      "WARN not utilizing a password for replication between hosts is extremely dangerous",
      "WARN not utilizing a password for superuser is extremely dangerous",
      badUid,
    ]
    expect(said(ended)).toEqual(starts.map((start) => expect.stringContaining(start)))
    expect(ended.exit).toBe(1)
  })

  test("ends when another process has the lock on its data directory", async () => {
    await mkdir(join(dir, "c"))
    const passwords = ["--pg-repl-password=a", "--pg-su-password=b"]
    using _ = takeLock(join(dir, "c", "lock"))
    const ended = await begin("c", ...passwords)
    const start = `FATAL cannot take exclusive lock on data dir "${join(dir, "c", "lock")}": `
    expect([ended.exit, said(ended).at(-1)?.slice(0, start.length)]).toEqual([1, start])
  })
})

test.each([
  ["stolon-sentinel", "SIGINT", 0],
  ["stolon-sentinel", "SIGTERM", 0],
  ["stolon-proxy", "SIGTERM", 0],
  ["stolon-proxy", "SIGUSR1", "lives"],
  ["stolon-sentinel", "SIGHUP", "SIGHUP"],
  ["stolon-proxy", "SIGHUP", "SIGHUP"],
] as const)("%s ends after %s with %p", async (program, signal, outcome) => {
  const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
  const child = Bun.spawn([join(dir, program), entry], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: {
      PATH: process.env["PATH"] ?? "",
      STPROXY_PORT: "0",
      ...onSqlite(join(dir, "store.db")),
    },
  })
  try {
    const reader = child.stderr.getReader()
    for (let told = ""; !told.includes("view.absent");) {
      const { value, done } = await reader.read()
      if (done) throw new Error(told)
      told += new TextDecoder().decode(value)
    }
    child.kill(signal)
    if (outcome === "lives") child.kill("SIGTERM")
    await child.exited
    const end = child.signalCode ?? child.exitCode
    expect(end).toBe(outcome === "lives" ? 0 : outcome)
  } finally {
    child.kill("SIGKILL")
  }
})
