/** Children and helpers: what they get, what comes back, and that none outlives its keeper. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { keepTail, run } from "#system/command.ts"
import { isAlive, processes, readProcess } from "#system/process.ts"
import { childEnvironment } from "#system/self.ts"
import { until } from "./until.ts"

const entry = new URL("entry.ts", import.meta.url).pathname
const never = new AbortController().signal
const before = process.env["STOLON_SELF"]
let directory = ""
beforeAll(() => {
  process.env["STOLON_SELF"] = JSON.stringify([process.execPath, entry])
  directory = mkdtempSync(join(tmpdir(), "stolon-command-"))
})
afterAll(() => {
  if (before === undefined) delete process.env["STOLON_SELF"]
  else process.env["STOLON_SELF"] = before
  rmSync(directory, { recursive: true, force: true })
})

const sh = (script: string) => ["sh", "-c", script] as const
/** The pids that a script wrote down, once it has written `count`. */
const pids = (file: string, count: number) =>
  until(`${count} pids in ${file}`, async () => {
    const words = (
      await Bun.file(file)
        .text()
        .catch(() => "")
    )
      .split("\n")
      .filter((w) => w !== "")
    return words.length === count
      ? words.map((w) => readProcess(Number(w)) ?? { pid: 0, start: "" })
      : null
  })

test("run() resolves with the code, the standard output and the tail of both outputs", async () => {
  const lines: string[] = []
  const outcome = await run(
    {
      argv: sh("echo one; echo two >&2; exit 3"),
      onLine: (line, stream) => lines.push(`${stream} ${line}`),
    },
    never,
  )
  expect(outcome).toMatchObject({ code: 3, signal: null, stdout: "one" })
  expect(outcome.tail.split("\n").toSorted()).toEqual(["one", "two"])
  expect(lines.toSorted()).toEqual(["stderr two", "stdout one"])
})

test("run() names the signal that ended the command", async () => {
  expect(await run({ argv: sh("kill -KILL $$") }, never)).toMatchObject({
    code: null,
    signal: "SIGKILL",
  })
})

test("run() reports a command that does not exist", async () => {
  const outcome = await run({ argv: ["stolon-no-such-command"] }, never)
  expect(outcome).toMatchObject({
    code: 127,
    tail: "stolon launch: stolon-no-such-command: command not found",
  })
})

test("run() gives the command its directory, additions to the environment, and no secrets", async () => {
  process.env["STKEEPER_PG_SU_PASSWORD"] = "hush"
  try {
    const argv = sh('pwd; echo "$EXTRA"; echo "[$STKEEPER_PG_SU_PASSWORD]"')
    const outcome = await run({ argv, cwd: directory, env: { EXTRA: "more" } }, never)
    expect(outcome.stdout.split("\n")).toEqual([directory, "more", "[]"])
  } finally {
    delete process.env["STKEEPER_PG_SU_PASSWORD"]
  }
})

test("run() starts the command with default signals, none blocked, in a group of its own", async () => {
  const argv = sh("grep -E 'SigBlk|SigIgn' /proc/self/status; cut -d' ' -f5 /proc/self/stat")
  const lines = (await run({ argv }, never)).stdout.split(/\s+/)
  // Without 32 and 33: the C library keeps them to itself and lets nobody reset what make(1)
  // ignored.
  const mask = (text = "") => BigInt(`0x${text}`) & ~0x1_8000_0000n
  expect([mask(lines[1]), mask(lines[3])]).toEqual([0n, 0n])
  expect(Number(lines[4])).not.toBe(readProcess(process.pid)?.group)
})

test("run() ends helpers that a finished command left behind", async () => {
  const file = join(directory, "left")
  await run(
    { argv: sh(`sleep 1000 & echo $! > ${file}; setsid sleep 1000 & echo $! >> ${file}`) },
    never,
  )
  for (const helper of await pids(file, 2)) expect(isAlive(helper)).toBe(false)
})

test("run() aborted asks first, then kills, and rejects when everything is gone", async () => {
  const file = join(directory, "abort")
  const controller = new AbortController()
  const argv = sh(
    `trap 'echo asked' TERM; echo $$ > ${file}; sleep 1000 & echo $! >> ${file}; while :; do wait; done`,
  )
  const lines: string[] = []
  const running = run({ argv, graceMs: 200, onLine: (line) => lines.push(line) }, controller.signal)
  const all = await pids(file, 2)
  controller.abort(new Error("enough"))
  expect(running).rejects.toThrow("enough")
  await running.catch(() => null)
  expect(all.map(isAlive)).toEqual([false, false])
  expect(lines).toContain("asked")
})

test("D-18 a command and its helpers die with a keeper that is killed", async () => {
  const file = join(directory, "keeper")
  const script = `echo $$ > ${file}; (sleep 1000) & echo $! >> ${file}; sleep 1000 & echo $! >> ${file}; wait`
  const keeper = Bun.spawn([process.execPath, entry, "run", "sh", "-c", script], {
    stdio: ["ignore", "inherit", "inherit"],
  })
  const all = await pids(file, 3)
  expect(all.map(isAlive)).toEqual([true, true, true])
  keeper.kill("SIGKILL")
  await until("all are gone", () => all.every((each) => !isAlive(each)), 3_000)
})

test("launch ends at once when the parent it was started by is not its parent any more", () => {
  const argv = [
    process.execPath,
    entry,
    "launch",
    "--pdeathsig",
    "SIGKILL",
    "--parent",
    "1",
    "--",
    "echo",
    "ran",
  ]
  const child = Bun.spawnSync(argv)
  expect({ code: child.exitCode, out: child.stdout.toString() }).toEqual({ code: 1, out: "" })
})

test("launch keeps its pid and gives the command user, group and further groups", async () => {
  const orders = ["--uid", "65534", "--gid", "65533", "--groups", "7,8", "--pdeathsig", "SIGQUIT"]
  const argv = [
    process.execPath,
    entry,
    "launch",
    ...orders,
    "--",
    "/bin/sh",
    "-c",
    "echo $$; id -u; id -g; id -G",
  ]
  const child = Bun.spawn(argv, { stdio: ["ignore", "pipe", "inherit"] })
  expect((await child.stdout.text()).trim().split("\n")).toEqual([
    `${child.pid}`,
    "65534",
    "65533",
    "65533 7 8",
  ])
})

test("launch refuses orders that it does not know", () => {
  const child = Bun.spawnSync([process.execPath, entry, "launch", "--colour", "red", "--", "true"])
  expect({ code: child.exitCode, said: child.stderr.toString() }).toEqual({
    code: 2,
    said: 'stolon launch: unexpected "--colour"\n',
  })
})

test("childEnvironment() keeps everything but passwords of ours and settings of Bun", () => {
  const from = {
    PATH: "/bin",
    AWS_KEY: "k",
    STKEEPER_PG_REPL_PASSWORD: "p",
    BUN_OPTIONS: "x",
    STKEEPER_UID: "k1",
  }
  expect(childEnvironment({ MORE: "1" }, from)).toEqual({
    PATH: "/bin",
    AWS_KEY: "k",
    STKEEPER_UID: "k1",
    MORE: "1",
  })
})

test("keepTail() keeps the last lines that fit", () => {
  const tail = keepTail(10)
  for (const line of ["first", "second", "third"]) tail.add(line)
  expect(tail.text()).toBe("third")
  tail.add("x".repeat(50))
  expect(tail.text()).toBe("x".repeat(10))
})

test("D-77 a zombie counts as dead, and processes() leaves it out", async () => {
  // `exec` makes the parent a program that collects nobody.
  const parent = Bun.spawn(["sh", "-c", "sleep 0 & echo $!; exec sleep 1000"], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const chunk = await parent.stdout.getReader().read()
  const pid = Number(new TextDecoder().decode(chunk.value))
  const zombie = await until("a zombie", () => {
    const found = readProcess(pid)
    return found?.state === "Z" ? found : null
  })
  expect(isAlive(zombie)).toBe(false)
  const listed = processes().map((each) => each.pid)
  expect([listed.includes(pid), listed.includes(parent.pid)]).toEqual([false, true])
  parent.kill("SIGKILL")
  await parent.exited
})
