/** `stolon generate` as it is called: what it prints, refuses, and that it overwrites nothing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = new URL("../../../", import.meta.url).pathname
let dir = ""
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "stolon-generate-"))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function generate(...argv: readonly string[]) {
  const program = [process.execPath, join(root, "cmd/stolon.ts"), "generate", ...argv]
  await using child = Bun.spawn(program, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "" },
  })
  const [stdout, stderr, exit] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { exit, stdout, stderr }
}

describe("stolon generate", () => {
  test("without a word says what there is", async () => {
    const { exit, stdout, stderr } = await generate()
    expect([exit, stdout]).toEqual([2, ""])
    for (const word of ["kubernetes", "systemd", "compose"]) expect(stderr).toContain(`  ${word} `)
    expect((await generate("--help")).exit).toBe(0)
  })

  test("kubernetes prints documents and nothing else", async () => {
    const { exit, stdout, stderr } = await generate("kubernetes", "--cluster-name", "prod")
    expect([exit, stderr]).toEqual([0, ""])
    const parsed: unknown = Bun.YAML.parse(stdout)
    expect(Array.isArray(parsed) && parsed.length > 10).toBe(true)
  })

  test("passwords are new each time, long, and never the same for both users", async () => {
    const words = async (): Promise<readonly string[]> =>
      (await generate("compose", "--cluster-name=try", "--with-passwords")).stdout.match(
        /(?<=STKEEPER_PG_\w+_PASSWORD: )\S+/g,
      ) ?? []
    const [first, second] = [await words(), await words()]
    expect(new Set([...first, ...second]).size).toBe(4)
    for (const word of first) expect(word.replaceAll('"', "")).toMatch(/^[0-9a-f]{48}$/)
  })

  const wrong: readonly (readonly [string, string])[] = [
    ["kubernets", "did you mean kubernetes?"],
    ["kubernetes", "--cluster-name is required"],
    ["kubernetes --cluster-name Prod_1", "lower-case letters, digits and hyphens"],
    ["kubernetes --cluster-name p --namespace a_b", '--namespace "a_b"'],
    ["kubernetes --cluster-name p --keepers 0", "at least 1"],
    ["kubernetes --cluster-name p --storage-size 10", "a size such as 10Gi"],
    ["kubernetes --cluster-name p --keeper-resources cpu", "cpu=500m,memory=1Gi"],
    ["kubernetes --cluster-name p --keeper-resources cpu=1,cpu=2", "cpu=500m,memory=1Gi"],
    ["kubernetes --cluster-name p --image a:b:c", "expected an image"],
    ["kubernetes --cluster-name p --kubernetes-version 1.19", "1.20 or later"],
    ["kubernetes --cluster-name p --port 5433", "both 5433"],
    ["kubernetes --cluster-name p --store-backend etcdv3", "needs --store-endpoints"],
    ["kubernetes --cluster-name p --store-endpoints x", "goes with --store-backend etcdv3"],
    ["kubernetes --cluster-name p --keeper 3", "did you mean --keepers?"],
    ["kubernetes --cluster-name p --force", "--force goes with --output"],
    ["systemd --cluster-name p", "--store-endpoints is required"],
    ["systemd --cluster-name p --store-endpoints http://e --user root", "not root"],
    [
      "systemd --cluster-name p --store-endpoints http://e --parts keper",
      "keeper, sentinel and proxy",
    ],
    ["systemd --cluster-name p --store-endpoints http://e --port 5432", "must differ"],
    ["systemd --cluster-name p --store-endpoints http://e --data-dir srv", "an absolute path"],
    ["systemd --cluster-name p --store-endpoints http://e --address 1.2.3.4:5", "without a port"],
    ["compose --cluster-name p --etcds 2", "even number"],
    ["compose --cluster-name p --read-only-port 5432", "port 5432 twice"],
  ]
  test.each(wrong)("%s: refused, with what was expected", async (line, expected) => {
    const { exit, stdout, stderr } = await generate(...line.split(" "))
    expect([exit, stdout]).toEqual([2, ""])
    expect(stderr).toContain(expected)
  })
})

describe("stolon generate --output", () => {
  const files = ["keeper.env", "stolon-keeper.service", "stolon-proxy.service"]
  const words = ["systemd", "--cluster-name=p", "--store-endpoints=http://e:2379"]

  test("writes the files and names them; those for secrets are private", async () => {
    const place = join(dir, "new/machine1")
    const { exit, stdout, stderr } = await generate(...words, `--output=${place}`)
    expect([exit, stdout]).toEqual([0, ""])
    expect(readdirSync(place).toSorted()).toEqual(
      [...files, "stolon-sentinel.service", "stolon.env"].toSorted(),
    )
    for (const file of files) expect(stderr).toContain(join(place, file))
    expect(statSync(join(place, "keeper.env")).mode & 0o777).toBe(0o600)
    expect(statSync(join(place, "stolon-keeper.service")).mode & 0o777).toBe(0o644)
  })

  test("the same again is fine, a file that somebody changed stops it before the first write", async () => {
    const place = join(dir, "again")
    expect((await generate(...words, `-o`, place)).exit).toBe(0)
    expect((await generate(...words, `-o`, place)).exit).toBe(0)
    writeFileSync(join(place, "stolon.env"), "MINE=1\n")
    const refused = await generate(...words, "--uid=pg9", "-o", place)
    expect(refused.exit).toBe(2)
    expect(refused.stderr).toContain("stolon.env")
    expect(readFileSync(join(place, "stolon.env"), "utf8")).toBe("MINE=1\n")
    expect(readFileSync(join(place, "keeper.env"), "utf8")).not.toContain("pg9")
    expect((await generate(...words, "--uid=pg9", "--force", "-o", place)).exit).toBe(0)
    expect(readFileSync(join(place, "keeper.env"), "utf8")).toContain("STKEEPER_UID=pg9")
  })

  test("a place that cannot be written to is an error with its reason", async () => {
    const { exit, stderr } = await generate(...words, "--output=/proc/nowhere")
    expect(exit).toBe(2)
    expect(stderr).toContain("cannot write to /proc/nowhere")
  })
})
