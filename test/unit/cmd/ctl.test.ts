/** `stolon ctl` and `stolonctl` as processes, on a real sqlite store. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { decodeJson } from "#model/codec.ts"
import { ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import { KeeperInfo } from "#model/info.ts"
import { millis } from "#base/brand.ts"
import type { Store, StoreSettings } from "#port/store.ts"
import { sentinelUID } from "#model/ids.ts"
import { openStore } from "#store/open.ts"
import { threeKeepers, keeper } from "#test/unit/ctl/golden.ts"

let dir = ""
let database = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-ctl-"))
  await symlink(process.execPath, join(dir, "stolonctl"))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

interface Ran {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}
const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
const freshFile = (): string => join(dir, `store-${++database}.db`)

/** Runs `stolon …`; under a Go name when `go`. */
async function run(
  argv: readonly string[],
  options: { readonly file: string; readonly input?: string; readonly go?: boolean },
): Promise<Ran> {
  const command =
    options.go === true
      ? [join(dir, "stolonctl"), entry, ...argv]
      : [process.execPath, entry, "ctl", ...argv]
  await using child = Bun.spawn(command, {
    stdin: new Blob([options.input ?? ""]),
    stdout: "pipe",
    stderr: "pipe",
    env: {
      PATH: process.env["PATH"] ?? "",
      STOLON_CLUSTER_NAME: "t",
      STOLON_STORE_BACKEND: "sqlite",
      STOLON_STORE_ENDPOINTS: options.file,
    },
  })
  const [stdout, stderr, exit] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { exit, stdout, stderr }
}

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
const signal = (): AbortSignal => new AbortController().signal

async function withStore<T>(file: string, work: (store: Store) => Promise<T>): Promise<T> {
  await using store = await openStore(settings(file))
  return await work(store)
}
const stored = (file: string): Promise<ClusterData> =>
  withStore(file, async (store) => {
    const reading = await store.read(signal())
    if (reading.kind !== "found") throw new Error("no cluster data")
    return reading.data
  })
const put = (file: string, data: ClusterData): Promise<unknown> =>
  withStore(file, (store) => store.write(data, { kind: "anything" }, null, signal()))

const overwriting =
  "WARNING: The databases managed by the keepers will be overwritten depending on the provided cluster spec.\n"
const question = "Are you sure you want to continue? [yes/no] "

describe("stolon ctl", () => {
  test("begins a cluster with the recommended settings, once it is confirmed", async () => {
    const file = freshFile()
    expect(await run(["status"], { file })).toMatchObject({ exit: 1, stderr: "" })
    const asked = await run(["init"], { file, input: "YES\nno\n" })
    expect(asked).toEqual({
      exit: 0,
      stdout: `${overwriting}${question}Please enter 'yes' or 'no'\n${question}exiting\n`,
      stderr: "",
    })
    expect(
      await run(["init", '{"initMode":"new","failInterval":"7s"}'], { file, input: "yes\n" }),
    ).toMatchObject({
      exit: 0,
      stdout: `${overwriting}${question}`,
    })
    const { stdout } = await run(["spec"], { file })
    expect(JSON.parse(stdout)).toMatchObject({
      failInterval: "7s",
      sleepInterval: "1s",
      selfFencing: true,
    })
    const again = await run(["init", "--yes"], { file })
    expect(again).toEqual({
      exit: 0,
      stdout: `WARNING: The current cluster data will be removed\n${overwriting}`,
      stderr: "",
    })
  })

  test("refuses silence as an answer", async () => {
    const file = freshFile()
    expect(await run(["init"], { file })).toMatchObject({
      exit: 1,
      stderr: "stolon ctl init: no answer on standard input; pass --yes to go on without asking\n",
    })
  })

  test("judges the specification before it asks", async () => {
    const file = freshFile()
    expect(await run(["init", '{"initMode":"neu"}'], { file, input: "yes\n" })).toEqual({
      exit: 1,
      stdout: "",
      stderr: 'stolon ctl init: invalid cluster spec: unknown initMode: "neu"\n',
    })
  })

  test("patches, replaces and reads specifications from files and standard input", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    const path = join(dir, "patch.json")
    await writeFile(path, '{"maxStandbyLag":1000}')
    expect(await run(["update", "--patch", "-f", path], { file })).toEqual({
      exit: 0,
      stdout: "",
      stderr: "",
    })
    expect((await stored(file)).cluster.spec.maxStandbyLag).toBe(1000)
    await run(["update", "-f", "-"], { file, input: '{"initMode":"new","maxStandbys":7}' })
    const { spec } = (await stored(file)).cluster
    expect([spec.maxStandbyLag, spec.maxStandbys]).toEqual([undefined, 7])
    expect(await run(["update", "-f", join(dir, "none")], { file })).toMatchObject({
      exit: 1,
      stderr: `stolon ctl update: cannot read file: open ${join(dir, "none")}: no such file or directory\n`,
    })
  })

  test("repairs a stored specification that breaks the rules", async () => {
    const file = freshFile()
    const data = threeKeepers()
    await put(file, {
      ...data,
      cluster: { ...data.cluster, spec: { ...data.cluster.spec, maxStandbys: 0 } },
    })
    expect((await run(["spec"], { file })).stderr).toContain("repair it with: stolon ctl update")
    expect(await run(["update", "-p", '{"maxStandbys":null}'], { file })).toMatchObject({ exit: 0 })
    expect(await run(["spec"], { file })).toMatchObject({ exit: 0 })
  })

  test("fails and removes keepers, leaving its mark", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    expect(await run(["failkeeper", "pg1"], { file })).toEqual({ exit: 0, stdout: "", stderr: "" })
    expect(await run(["removekeeper", "pg3"], { file })).toEqual({
      exit: 0,
      stdout: "",
      stderr: "",
    })
    const after = await stored(file)
    expect(after.keepers.get(keeper("pg1"))?.status.forceFail).toBe(true)
    expect([after.keepers.size, after.dbs.size]).toEqual([2, 2])
    expect(after.cluster.status.writer).toMatch(/^[0-9a-f]{8}$/)
    expect(await run(["removekeeper", "pg1"], { file })).toMatchObject({
      exit: 1,
      stderr:
        "stolon ctl removekeeper: keeper pg1 has the primary; move it first: stolon ctl switchover, or if it is dead: stolon ctl failover\n",
    })
  })

  test("carries a document over to another store", async () => {
    const [from, to] = [freshFile(), freshFile()]
    await put(from, threeKeepers())
    const { stdout } = await run(["clusterdata", "read"], { file: from })
    expect(decodeClusterData(stdout)).toEqual(await stored(from))
    const told = "successfully wrote cluster data into the new store\n"
    expect(await run(["clusterdata", "write"], { file: to, input: stdout })).toMatchObject({
      exit: 0,
      stdout: told,
    })
    expect(encodeClusterData(await stored(to))).toBe(stdout.trimEnd())
    expect(await run(["clusterdata", "write"], { file: to, input: stdout })).toMatchObject({
      exit: 1,
      stderr:
        "stolon ctl clusterdata write: WARNING: cluster data already available use --yes to override\n",
    })
    expect(await run(["clusterdata", "write", "-y"], { file: to, input: stdout })).toMatchObject({
      exit: 0,
    })
    const cut = await run(["clusterdata", "write", "-y"], {
      file: to,
      input: '{"formatVersion":1}',
    })
    expect(cut.stderr).toBe(
      "stolon ctl clusterdata write: invalid cluster data: cluster: is missing or null\n",
    )
  })

  test("shows who reports, in text and JSON", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    const info = decodeJson(KeeperInfo, {
      infoUID: "i",
      uid: "pg2",
      postgresBinaryVersion: { Maj: 15, Min: 4 },
    })
    await withStore(file, (store) =>
      store.publish({ kind: "keeper", info }, millis(60_000), signal()),
    )
    const { stdout, exit } = await run(["status", "-f", "json"], { file })
    expect(exit).toBe(0)
    const { members, primary } = JSON.parse(stdout)
    expect(primary.keeper).toBe("pg1")
    expect(
      members.map((it: { keeper: string; reporting: boolean }) => [it.keeper, it.reporting]),
    ).toEqual([
      ["pg1", false],
      ["pg2", true],
      ["pg3", false],
    ])
    expect((await run(["status"], { file })).stdout).toContain(
      "Primary: pg1, open to clients through proxies\n",
    )
  })

  test("says which store does not answer, within the timeout", async () => {
    const ran = await run(
      ["status", "--store-backend=etcdv3", "--store-endpoints=127.0.0.1:1", "--store-timeout=1s"],
      { file: "" },
    )
    expect(ran.exit).toBe(1)
    expect(ran.stderr).toStartWith(
      "stolon ctl status: the store (etcdv3 at 127.0.0.1:1) cannot be used: ",
    )
  })

  test("refuses slips of the fingers with advice and exit code 2", async () => {
    const file = freshFile()
    expect(await run(["statsu"], { file })).toMatchObject({ exit: 2 })
    expect(await run(["status", "--formt=json"], { file })).toEqual({
      exit: 2,
      stdout: "",
      stderr:
        "stolon ctl status: unknown flag --formt; did you mean --format?\nHelp: stolon ctl status --help\n",
    })
    expect((await run(["status", "--store-backend=etcd3"], { file })).stderr).toBe(
      'stolon ctl status: --store-backend "etcd3": expected consul, etcdv2, etcdv3, kubernetes or sqlite; did you mean etcdv3?\n',
    )
  })
})

/** A sentinel that leads, as long as it is held. */
async function leader(file: string): Promise<AsyncDisposable> {
  const store = await openStore(settings(file))
  await store.campaign(sentinelUID("s1"), signal())
  return store
}

describe("stolon ctl failover", () => {
  const follow = async (
    file: string,
    answers: (data: ClusterData) => ClusterData,
  ): Promise<{ readonly ran: Ran; readonly wished: string | undefined }> => {
    let wished: string | undefined
    await using store = await openStore(settings(file))
    await using _ = await leader(file)
    const answered = new AbortController()
    /** The leader's part: waits for the wish, then answers it. */
    const answer = async (): Promise<void> => {
      const reading = await store.read(signal())
      if (reading.kind !== "found" || answered.signal.aborted) return
      const wish = reading.data.cluster.status.failoverRequest
      if (wish === undefined) return
      wished = wish.keeper
      const { failoverRequest: _, ...status } = reading.data.cluster.status
      const cluster = { ...reading.data.cluster, status }
      const next = answers({ ...reading.data, cluster })
      await store.write(next, { kind: "version", version: reading.version }, null, signal())
      answered.abort()
    }
    const leading = store.watch(
      "clusterdata",
      () => void answer(),
      AbortSignal.any([answered.signal, AbortSignal.timeout(30_000)]),
    )
    const ran = await run(["failover", "--keeper=pg2", "--timeout=20s"], { file })
    answered.abort()
    await leading
    return { ran, wished }
  }

  test("asks the leader and reports the new primary", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    const { ran, wished } = await follow(file, (data) => {
      const master = [...data.dbs.keys()].find((uid) => uid === "db2")!
      const { cluster, proxy } = data
      return {
        ...data,
        cluster: { ...cluster, status: { ...cluster.status, master } },
        proxy: { ...proxy, spec: { ...proxy.spec, masterDbUid: master } },
      }
    })
    expect(wished).toBe("pg2")
    expect(ran.stderr).toBe("")
    expect(ran.exit).toBe(0)
    expect(ran.stdout.trimEnd().split("\n").at(-1)).toEndWith("keeper pg2 is the primary")
  })

  test("reports a refusal", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    const { ran } = await follow(file, (data) => data)
    expect(ran.exit).toBe(1)
    expect(ran.stderr).toContain("the leading sentinel refused the failover")
  })

  test("ends at its timeout and leaves the request", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    await using _ = await leader(file)
    const ran = await run(["failover", "--timeout=300ms"], { file })
    expect(ran.exit).toBe(1)
    expect(ran.stderr).toContain("waiting for the leading sentinel; the request stays")
    expect((await stored(file)).cluster.status.failoverRequest).toBeDefined()
  })

  test("returns at once with --no-wait", async () => {
    const file = freshFile()
    await put(file, threeKeepers())
    await using _ = await leader(file)
    const ran = await run(["failover", "--no-wait"], { file })
    expect(ran).toMatchObject({ exit: 0, stderr: "" })
    expect(ran.stdout).toMatch(/^failover requested \([0-9a-f]{8}\)\n$/)
  })
})

describe("stolonctl", () => {
  const go = true
  test("adds nothing to specifications and writes without being asked twice", async () => {
    const file = freshFile()
    const common = ["--cluster-name=t", "--store-backend=sqlite", `--store-endpoints=${file}`]
    expect(await run([...common, "init", "-y"], { file, go })).toEqual({
      exit: 0,
      stdout: overwriting,
      stderr: "",
    })
    expect((await run([...common, "spec"], { file, go })).stdout).toBe(
      '{\n\t"initMode": "new"\n}\n',
    )
    const { cluster, proxy } = await stored(file)
    expect(ClusterData.encode({ ...(await stored(file)), cluster, proxy })).toMatchObject({
      changeTime: "0001-01-01T00:00:00Z",
      keepers: new Map(),
    })
  })

  test("init asks first and judges afterwards; an argument wins over a file, which is not opened", async () => {
    const file = freshFile()
    const bad = '{"initMode":"neu"}'
    const asked = { stdout: `${overwriting}${question}`, exit: 1 }
    expect(await run(["init", bad, "-f", "/nonexistent"], { file, go, input: "yes\n" })).toEqual({
      ...asked,
      stderr: 'invalid cluster spec: unknown initMode: "neu"\n',
    })
    expect(await run(["init", bad], { file, go, input: "yes" })).toEqual({
      ...asked,
      stderr: "error reading input: EOF\n",
    })
    const answers = " yes\nYES\nno\n"
    const again = `Please enter 'yes' or 'no'\n${question}`
    expect(await run(["init", bad], { file, go, input: answers })).toEqual({
      exit: 0,
      stdout: `${overwriting}${question}${again}${again}exiting\n`,
      stderr: "",
    })
    expect(await run(["status"], { file, go })).toMatchObject({ exit: 1 }) // nothing was written
    expect(await run(["init", "-y"], { file, go })).toMatchObject({ exit: 0, stdout: overwriting })
    const path = join(dir, "spec.json")
    await writeFile(path, '{"initMode":"new","failInterval":"7s"}')
    expect(await run(["init", "-y", "-f", path], { file, go })).toEqual({
      exit: 0,
      stdout: `WARNING: The current cluster data will be removed\n${overwriting}`,
      stderr: "",
    })
    expect((await run(["spec"], { file, go })).stdout).toContain('"failInterval": "7s"')
  })

  test("fails as Go does without cluster data", async () => {
    const file = freshFile()
    const nil = "nil cluster data: <nil>\n"
    for (const argv of [
      ["spec"],
      ["status"],
      ["clusterdata", "read"],
      ["promote", "-y"],
      ["update", "{}"],
    ])
      expect(await run(argv, { file, go })).toMatchObject({ exit: 1, stderr: nil })
    for (const command of ["failkeeper", "removekeeper"])
      expect(await run([command, "k"], { file, go })).toMatchObject({
        exit: 1,
        stderr: `cannot get cluster data: ${nil}`,
      })
    expect(await run(["status", "-f", "json"], { file, go })).toEqual({
      exit: 0,
      stdout: "{}\n",
      stderr: "",
    })
    expect(await run(["status", "-fbad"], { file, go })).toMatchObject({
      exit: 1,
      stderr: "unrecognised output format bad\n",
    })
  })

  test.each([
    [["update"], "no cluster spec provided as argument and no file provided (--file/-f option)"],
    [["update", "a", "b"], "too many arguments"],
    [
      ["update", "a", "-f", "b"],
      "only one of cluster spec provided as argument or file must provided (--file/-f option)",
    ],
    [
      ["update", "-f", "/nonexistent"],
      "cannot read file: open /nonexistent: no such file or directory",
    ],
    [["failkeeper"], "keeper uid required"],
    [["failkeeper", "a", "b"], "too many arguments"],
    [["promote", "a"], "too many arguments"],
    [["promote"], "error reading input: EOF"],
    [["init"], "error reading input: EOF"],
    [["init", "a", "b"], "too many arguments"],
    [["clusterdata", "write"], "invalid cluster data: unexpected end of JSON input"],
  ])("refuses %j as Go does", async (argv, message) => {
    expect(await run(argv, { file: freshFile(), go })).toMatchObject({
      exit: 1,
      stderr: `${message}\n`,
    })
  })

  test("prints the version in Go's form", async () => {
    expect(await run(["version"], { file: "", go })).toEqual({
      exit: 0,
      stdout: "stolonctl version No version defined at build time\n",
      stderr: "",
    })
  })
})
