/**
 * Odd documents under the clusterdata key: what Go's stolonctl did with each
 * (`test/golden/cli/stored-documents.tsv`), and what ours says of them.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import type { StoreSettings } from "#port/store.ts"
import { keysOf } from "#store/keys.ts"
import { openKeyValue } from "#store/open.ts"
import { golden, table, threeKeepers } from "#test/unit/ctl/golden.ts"
import { type Played, onSqlite, playCtl, playGo } from "./played.ts"

let dir = ""
let files = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-documents-"))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const settings = (file: string): StoreSettings => ({
  clusterName: "t",
  backend: "sqlite",
  endpoints: [file],
  prefix: "stolon/cluster",
  timeout: millis(5000),
  tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
  user: "",
  password: "",
})
const key = keysOf("stolon/cluster", "t").clusterData
const signal = new AbortController().signal

/** A store that holds exactly this text. */
async function holding(text: string): Promise<string> {
  const file = join(dir, `${++files}.db`)
  await using kv = await openKeyValue(settings(file), signal)
  await kv.swap(key, text, { kind: "anything" }, null, signal)
  return file
}
async function storedIn(file: string): Promise<string> {
  await using kv = await openKeyValue(settings(file), signal)
  return (await kv.get(key, signal))?.value ?? ""
}

/** Words as a shell splits them, as far as the recording needs it. */
const words = (line: string): readonly string[] =>
  [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "")

const text = (cell: string): string =>
  cell === "(as spec-defaults.json)"
    ? golden("spec-defaults.json")
    : cell.replaceAll("\\n", "\n").replaceAll("\\t", "\t")

const rows = table("stored-documents.tsv").map(
  ([stored = "", command = "", exit = "", stdout = "", stderr = ""]) =>
    ({ stored, command, exit: Number(exit), stdout: text(stdout), stderr }) as const,
)

test("every recorded document is played", () => expect(rows).toHaveLength(140))

describe.each([...new Set(rows.map((row) => row.stored))])("over %s", (stored) => {
  test.each(rows.filter((row) => row.stored === stored).map((row) => [row.command, row] as const))(
    "stolonctl %s does as Go's",
    async (command, row) => {
      const file = await holding(stored)
      const ran = await playGo("stolonctl", words(command), onSqlite(file))
      expect({ ...ran, stderr: ran.stderr.split("\n")[0] }).toEqual({
        exit: row.exit,
        stdout: row.stdout,
        stderr: row.stderr,
      })
    },
  )
})

describe("the recorded outputs of a running cluster", () => {
  const sources = ["clusterdata", "clusterdata-sync", "clusterdata-keeper-dead"]
  test.each([
    ...sources.map((name) => [name, "clusterdata read", `${name}.json`]),
    ["clusterdata", "clusterdata read --pretty", "clusterdata-pretty.json"],
    ["clusterdata", "spec", "spec-live.json"],
    ["clusterdata", "spec --defaults", "spec-defaults-live.json"],
  ])("of %s: stolonctl %s prints the bytes of %s", async (name, command, output) => {
    const file = await holding(golden(`${name}.json`).trimEnd())
    const ran = await playGo("stolonctl", words(command), onSqlite(file))
    expect(ran).toEqual({ exit: 0, stdout: golden(output), stderr: "" })
  })

  test("without cluster data: status tells it, and as JSON says nothing", async () => {
    const env = onSqlite(join(dir, "empty.db"))
    expect(await playGo("stolonctl", ["status"], env)).toEqual({
      exit: 1,
      stdout: "",
      stderr: golden("status-no-clusterdata.txt"),
    })
    expect(await playGo("stolonctl", ["status", "-f", "json"], env)).toEqual({
      exit: 0,
      stdout: golden("status-no-clusterdata.json"),
      stderr: "",
    })
  })
})

test("D-79 a document that Go repairs by rewriting it is written whole, so that no component crashes", async () => {
  const file = await holding('{"formatVersion":1,"cluster":{"spec":{"initMode":"new"}}}')
  const patch = ["update", "--patch", '{"failInterval":"9s"}']
  expect(await playGo("stolonctl", patch, onSqlite(file))).toMatchObject({ exit: 0, stderr: "" })
  const data = decodeClusterData(await storedIn(file))
  expect(data?.cluster.spec.failInterval).toBe(9_000_000_000n as never)
  expect(data?.proxy.spec.enabledProxies).toEqual([])
})

describe("stolon ctl", () => {
  const commands = ["spec", "status", "clusterdata read", "failkeeper k", "removekeeper k"]
  const said = (ran: Played): string => {
    expect(ran).toMatchObject({ exit: 1, stdout: "" })
    return ran.stderr
  }
  test.each(
    commands.flatMap((command) =>
      [
        ['{"formatVersion":1,"cluster":null}', "cluster: is missing or null"],
        ['{"formatVersion":1,"cluster":{"spec":null}}', "cluster.spec: is missing or null"],
        [
          '{"formatVersion":1,"cluster":{"spec":{"initMode":"new"}},"keepers":{},"dbs":{},"proxy":null}',
          "proxy: is missing or null",
        ],
        ['{"formatVersion":2}', "unsupported cluster data format version 2"],
        ["garbage", "JSON"],
      ].map(([document = "", what = ""]) => [command, document, what] as const),
    ),
  )("D-79 %s over %s says what is wrong and what to do", async (command, document, what) => {
    const file = await holding(document)
    const text = said(await playCtl(words(command), onSqlite(file)))
    expect(text).toContain(what)
    expect(text).toContain("stolon ctl clusterdata write --yes -f BACKUP, or stolon ctl init")
    expect(await storedIn(file)).toBe(document)
  })

  test("D-79 a primary that does not exist stops nobody from looking at the cluster", async () => {
    const file = await holding(
      '{"formatVersion":1,"cluster":{"spec":{"initMode":"new"},"status":{"phase":"normal","master":"gone"}},"keepers":{},"dbs":{},"proxy":{}}',
    )
    expect(await playCtl(["status"], onSqlite(file))).toMatchObject({ exit: 0, stderr: "" })
  })

  test("D-66 status -f json tells trouble as JSON with a code, and fails", async () => {
    const file = await holding("garbage")
    const ran = await playCtl(["status", "-f", "json"], onSqlite(file))
    expect(ran).toMatchObject({ exit: 1, stderr: "" })
    expect(JSON.parse(ran.stdout)).toEqual({
      error: { code: "malformed", message: expect.stringContaining("cannot be used: ") },
    })
    const nowhere = await playCtl(["status", "-f", "json"], onSqlite(join(file, "below-a-file")))
    expect(nowhere.exit).toBe(1)
    expect(Object.keys(JSON.parse(nowhere.stdout))).toEqual(["error"])
  })
})

describe("clusterdata write", () => {
  const play = { go: playGo.bind(null, "stolonctl"), stolon: playCtl }
  const wrong = '{"formatVersion":"1"}'
  test.each([
    [
      "go",
      wrong,
      "invalid cluster data: json: cannot unmarshal string into Go struct field ClusterData.formatVersion of type uint64\n",
    ],
    ["go", "{", "invalid cluster data: unexpected end of JSON input\n"],
    [
      "stolon",
      "{",
      "stolon ctl clusterdata write: invalid cluster data: not valid JSON: it ends too early, at line 1, column 2; expected a key in double quotes\n",
    ],
    [
      "stolon",
      '{"formatVersion":1,"cluster":{"spec":{}},"keepers":{},"dbs":{}}',
      "stolon ctl clusterdata write: invalid cluster data: proxy: is missing or null\n",
    ],
  ] as const)("in dialect %s refuses %s", async (dialect, document, stderr) => {
    const path = join(dir, `${++files}.json`)
    await Bun.write(path, document)
    const env = onSqlite(join(dir, `${files}.db`))
    const ran = await play[dialect](["clusterdata", "write", "-f", path], env)
    expect(ran).toEqual({ exit: 1, stdout: "", stderr })
  })
})

describe("register", () => {
  test("--dry-run prints the requests that an empty registry would get", async () => {
    const file = await holding(encodeClusterData(threeKeepers()))
    const flags = ["register", "--dry-run", "--register-master"]
    const ran = await playCtl(flags, onSqlite(file))
    expect(ran).toMatchObject({ exit: 0, stderr: "" })
    const bodies = ran.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line.replace("PUT /v1/agent/service/register ", "")))
    expect(bodies.map(({ ID, Name, Tags }) => [ID, Name, ...Tags])).toEqual([
      ["db1", "t", "master"],
      ["db2", "t", "slave"],
      ["db3", "t", "slave"],
    ])
  })
})
