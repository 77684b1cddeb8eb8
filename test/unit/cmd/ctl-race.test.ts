/** `stolon ctl init` while somebody else changes the cluster data, between question and answer. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { encodeClusterData } from "#model/cluster.ts"
import type { ClusterUID } from "#model/ids.ts"
import { keysOf } from "#store/keys.ts"
import { openKeyValue } from "#store/open.ts"
import { threeKeepers } from "#test/unit/ctl/golden.ts"
import { onSqlite } from "./played.ts"

let dir = ""
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-race-"))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const signal = new AbortController().signal
const key = keysOf("stolon/cluster", "t").clusterData
const open = (file: string) =>
  openKeyValue(
    {
      clusterName: "t",
      backend: "sqlite",
      endpoints: [file],
      prefix: "stolon/cluster",
      timeout: millis(5000),
      tls: { certFile: "", keyFile: "", caFile: "", skipVerify: false },
      user: "",
      password: "",
    },
    signal,
  )

/** Another process's write comes between the question and the answer; how `ctl init` ends. */
async function interrupted(file: string, theirs: string) {
  await using kv = await open(file)
  const entry = new URL("../../../cmd/stolon.ts", import.meta.url).pathname
  await using child = Bun.spawn([process.execPath, entry, "ctl", "init"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", ...onSqlite(file) },
  })
  let told = ""
  for await (const chunk of child.stdout) {
    told += new TextDecoder().decode(chunk)
    if (told.endsWith("[yes/no] ")) break
  }
  await kv.swap(key, theirs, { kind: "anything" }, null, signal)
  void child.stdin.write("yes\n")
  await child.stdin.end()
  const [stderr, exit] = await Promise.all([child.stderr.text(), child.exited])
  return { stderr, exit, after: (await kv.get(key, signal))?.value ?? "" }
}

test.each([
  ["a cluster that was not there when it asked", null],
  ["another cluster than the one it asked about", encodeClusterData(threeKeepers())],
])("D-66 stolon ctl init does not overwrite %s", async (what, before) => {
  const file = join(dir, `${what.length}.db`)
  if (before !== null) {
    await using kv = await open(file)
    await kv.swap(key, before, { kind: "anything" }, null, signal)
  }
  const another = threeKeepers({ primaryEpoch: "theirs" })
  const theirs = encodeClusterData({
    ...another,
    cluster: { ...another.cluster, uid: "another" as ClusterUID },
  })
  const { stderr, exit, after } = await interrupted(file, theirs)
  expect(stderr).toContain("somebody else changed the cluster data meanwhile; nothing was written")
  expect(exit).toBe(1)
  expect(after).toBe(theirs)
})

test("stolon ctl init replaces the cluster it asked about, however often its leader writes", async () => {
  const file = join(dir, "led.db")
  {
    await using kv = await open(file)
    await kv.swap(key, encodeClusterData(threeKeepers()), { kind: "anything" }, null, signal)
  }
  const led = encodeClusterData(threeKeepers({ primaryEpoch: "later" }))
  const { exit, after } = await interrupted(file, led)
  expect(exit).toBe(0)
  expect(after).not.toBe(led)
  expect(after).toContain('"phase":"initializing"')
})
