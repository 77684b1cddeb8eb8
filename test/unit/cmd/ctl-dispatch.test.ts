/** The executable's own front: which command, under which name, and what is loaded for it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

let dir = ""
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "stolon-dispatch-"))
  for (const name of ["stolonctl", "stolon-sentinel", "stolon-proxy"])
    await symlink(process.execPath, join(dir, name))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const root = new URL("../../../", import.meta.url).pathname

interface Ran {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the executable from source, called `name`. */
async function run(name: string, argv: readonly string[]): Promise<Ran> {
  const program = name === "stolon" ? process.execPath : join(dir, name)
  await using child = Bun.spawn([program, join(root, "cmd/stolon.ts"), ...argv], {
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

describe("stolon", () => {
  test.each([["version"], ["--version"]])("%s prints version and runtime", async (word) => {
    expect(await run("stolon", [word])).toEqual({
      exit: 0,
      stdout: `stolon development, Bun ${Bun.version}\n`,
      stderr: "",
    })
  })
  test("refuses an unknown command with advice", async () => {
    const ran = await run("stolon", ["sentinal"])
    expect(ran).toMatchObject({ exit: 2, stdout: "" })
    expect(ran.stderr).toStartWith('stolon: unknown command "sentinal"; did you mean sentinel?\n')
    expect((await run("stolon", ["stauts"])).stderr).toStartWith(
      'stolon: unknown command "stauts"; did you mean stolon ctl status?\n',
    )
  })
  test("refuses flags before the command", async () => {
    expect((await run("stolon", ["--cluster-name=x", "ctl"])).stderr).toBe(
      "stolon: unknown flag --cluster-name=x; flags follow the command, as in stolon ctl --cluster-name=x\n",
    )
  })
  test("prints help, asked for or not, and of a command", async () => {
    expect(await run("stolon", ["--help"])).toMatchObject({ exit: 0 })
    expect(await run("stolon", [])).toMatchObject({ exit: 2 })
    expect((await run("stolon", ["help", "sentinel"])).stdout).toStartWith("stolon sentinel: ")
  })
  test("runs the launcher with its arguments untouched", async () => {
    expect(await run("stolon", ["launch", "--", "printf", "%s", "--help"])).toEqual({
      exit: 0,
      stdout: "--help",
      stderr: "",
    })
  })
})

describe("a Go name", () => {
  test("selects the command and Go's dialect", async () => {
    expect((await run("stolonctl", ["version"])).stdout).toBe(
      "stolonctl version No version defined at build time\n",
    )
    expect((await run("stolon-sentinel", ["--version"])).stdout).toBe(
      "stolon-sentinel version No version defined at build time\n",
    )
    const proxy = await run("stolon-proxy", ["--nosuch"])
    expect(proxy.exit).toBe(1)
    expect(proxy.stderr).toStartWith(
      "Error: unknown flag: --nosuch\nUsage:\n  stolon-proxy [flags]\n",
    )
    expect(proxy.stderr).toMatch(/\n\n[^\t\n]+\tFATAL\t[^\t\n]+\tunknown flag: --nosuch\n$/)
  })
})

test("stolon version loads neither schemas nor store clients", async () => {
  const { outputs } = await Bun.build({
    entrypoints: [join(root, "cmd/stolon.ts")],
    target: "bun",
    splitting: true,
    plugins: [
      {
        name: "every dynamic import stays outside",
        setup: (build) => {
          build.onResolve({ filter: /.*/ }, ({ path, kind, importer }) => {
            const version = path === "./version.ts" && importer.endsWith("cmd/stolon.ts")
            return kind === "dynamic-import" && !version ? { path, external: true } : undefined
          })
        },
      },
    ],
  })
  const texts = await Promise.all(outputs.map((output) => output.text()))
  const bundle = texts.join("\n")
  expect(bundle).toContain("node_modules/citty")
  expect(bundle).not.toContain("node_modules/valibot")
  expect(bundle).not.toContain("node_modules/etcd3")
  expect(bundle).not.toContain("node_modules/postgres")
  expect(bundle.length).toBeLessThan(40_000)
})
