/**
 * The executable itself, alone in an empty directory: it says what it is, answers to the Go names,
 * and its commands find the store although nothing of the project is there.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import manifest from "../../package.json"
import { build } from "../../scripts/build.ts"
import { type EtcdCluster, startEtcd } from "#test/conformance/etcd.ts"
import { rows, summary } from "#test/unit/cmd/go-recording.ts"
import { type Ran, obstacle, runHidden } from "./hidden.ts"

setDefaultTimeout(120_000)

const title = "stolon, alone in an empty directory"
describe.skipIf(obstacle !== null)(
  obstacle === null ? title : `${title} (skipped: ${obstacle})`,
  () => {
    let directory = ""
    let empty = ""
    let etcd: EtcdCluster
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), "stolon-binary-"))
      empty = join(directory, "empty")
      mkdirSync(empty)
      const outfile = join(directory, "built")
      await build({ outfile })
      renameSync(outfile, join(empty, "stolon"))
      symlinkSync("stolon", join(empty, "stolonctl"))
      etcd = await startEtcd()
    })
    afterAll(async () => {
      await etcd[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    })

    const run = (...words: readonly string[]): Promise<Ran> => runHidden(empty, words)
    const inStore = (name: string): readonly string[] => [
      `--cluster-name=${name}`,
      "--store-backend=etcdv3",
      `--store-endpoints=${etcd.endpoints.join(",")}`,
    ]

    test("says its version", async () => {
      const ran = await run("./stolon", "version")
      expect(ran).toMatchObject({ code: 0, stderr: "" })
      expect(ran.stdout).toStartWith(`stolon ${manifest.version} (`)
    })

    test("answers to a Go name as the Go program would", async () => {
      const ran = await run("./stolonctl", "version")
      expect(ran.code).toBe(0)
      expect(ran.stdout).toContain(manifest.version)
      expect(ran.stdout).toStartWith("stolonctl version")
    })

    test.each(["keeper", "sentinel", "proxy", "ctl", "dev"])("loads %s", async (command) => {
      const ran = await run("./stolon", command, "--help")
      expect(ran).toMatchObject({ code: 0, stderr: "" })
      expect(ran.stdout).not.toBe("")
    })

    const recorded = rows.filter(
      ({ program, argv }) =>
        program === "stolonctl" &&
        argv.includes("--store-backend=etcdv3") &&
        !argv.some((word) => word.startsWith("--store-endpoints")),
    )
    test.each(recorded.map((row) => [row.name, row] as const))(
      "on an etcd without cluster data %s ends as Go's",
      async (_, { argv, env, told }) => {
        const ran = await runHidden(empty, ["./stolonctl", ...argv], {
          ...env,
          STOLONCTL_STORE_ENDPOINTS: etcd.endpoints.join(","),
        })
        expect(summary({ ...ran, exit: ran.code })).toEqual(told)
      },
    )

    test("initialises a cluster in etcd and reads it back", async () => {
      const init = await run("./stolon", "ctl", "init", "--yes", ...inStore("c1"))
      expect(init).toMatchObject({ code: 0 })
      const read = await run("./stolon", "ctl", "clusterdata", "read", ...inStore("c1"))
      expect(read).toMatchObject({ code: 0 })
      expect(JSON.parse(read.stdout)).toMatchObject({
        formatVersion: 1,
        cluster: { status: { phase: "initializing" } },
      })
    })
  },
)
