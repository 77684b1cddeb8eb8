/**
 * Every recorded command line of Go's programs (`test/golden/cli/arguments.tsv`): exit code, first
 * line of output, number of lines of error output, its first and last line.
 *
 * Where the recording had an etcd, a sqlite store stands here: what is recorded is what happens
 * without cluster data. Rows that name endpoints of their own fail before anything is connected to.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Row, rows, summary } from "./go-recording.ts"
import { type Played, playGo } from "./played.ts"

let dir = ""
let stores = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-arguments-"))
  await mkdir(join(dir, "bin"))
  for (const name of ["stolonctl", "stolon-keeper", "stolon-sentinel", "stolon-proxy"])
    await symlink(process.execPath, join(dir, "bin", name))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** The recording's places become ours: an etcd without cluster data, a directory for a keeper. */
function here({ program, argv, env }: Row): Pick<Row, "argv" | "env"> {
  const usesStore =
    program === "stolonctl" &&
    argv.includes("--store-backend=etcdv3") &&
    !argv.some((word) => word.startsWith("--store-endpoints"))
  const moved = argv.map((word) => {
    if (word === "--data-dir=/var/lib/stolon/z") return `--data-dir=${join(dir, "keeper")}`
    return usesStore && word === "--store-backend=etcdv3" ? "--store-backend=sqlite" : word
  })
  const dataDir = env["STKEEPER_DATA_DIR"] === undefined ? {} : { STKEEPER_DATA_DIR: dir }
  const store = usesStore ? { STOLON_STORE_ENDPOINTS: join(dir, `${++stores}.db`) } : {}
  return { argv: moved, env: { ...env, ...dataDir, ...store } }
}

/** What reads standard input or logs by itself is played in a process of its own. */
const needsProcess = ({ argv, told }: Row): boolean =>
  /\t(WARN|INFO)\t/.test(told.first) ||
  told.last.includes("reading input: EOF") ||
  (argv.includes("write") && !argv.includes("-f"))

async function spawned(row: Row): Promise<Played> {
  const { argv, env } = here(row)
  const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
  await using child = Bun.spawn([join(dir, "bin", row.program), entry, ...argv], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  })
  const [stdout, stderr, exit] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { exit, stdout, stderr }
}

test("every recorded command line is played", () => expect(rows).toHaveLength(172))

test.each(rows.map((row) => [row.name, row] as const))("%s ends as Go's", async (_, row) => {
  const { argv, env } = here(row)
  const ran = needsProcess(row) ? await spawned(row) : await playGo(row.program, argv, env)
  expect(summary(ran)).toEqual(row.told)
})
