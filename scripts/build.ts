/**
 * Builds the executable: everything in one file, which must run where there is no source, no
 * node_modules and no Bun.
 *
 *   bun scripts/build.ts [--outfile dist/stolon] [--target bun-linux-arm64]
 *
 * Traps that this file knows of, each with a test in `test/binary`: etcd3 reads its protocol file
 * from a path of the build machine (so it is put in here, and the build fails when etcd3 changes
 * the place); by default an executable obeys `.env` and `bunfig.toml` of whatever directory it is
 * started in. Bytecode makes it start in milliseconds. `strip` destroys the result.
 */
import type { BunPlugin } from "bun"
import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { Root } from "protobufjs"

const root = resolve(import.meta.dir, "..")

export interface BuildOptions {
  readonly outfile: string
  /** As `bun build --target` names it; this machine's without. */
  readonly target?: Bun.Build.CompileTarget
  /** Another program than `stolon`, for tests. */
  readonly entry?: string
}

/**
 * Builds, or throws with what is wrong. A build that fails leaves an older executable in its place.
 */
export async function build(options: BuildOptions): Promise<void> {
  const outfile = resolve(options.outfile)
  mkdirSync(dirname(outfile), { recursive: true })
  // Bun writes source maps beside the file, which carries them in itself
  const workshop = mkdtempSync(join(dirname(outfile), ".build-"))
  try {
    const built = join(workshop, basename(outfile))
    await compile(options, built)
    renameSync(built, outfile)
  } finally {
    rmSync(workshop, { recursive: true, force: true })
  }
}

async function compile(options: BuildOptions, outfile: string): Promise<void> {
  const { target, entry = join(root, "cmd/stolon.ts") } = options
  const embedded = { count: 0 }
  const result = await Bun.build({
    entrypoints: [entry],
    plugins: [embedProtocol(embedded)],
    format: "esm",
    splitting: true, // a command's start loads the bytecode of its own modules only
    minify: true,
    bytecode: true,
    sourcemap: "linked",
    define: {
      STOLON_VERSION: JSON.stringify(await version()),
      STOLON_COMMIT: JSON.stringify(await commit()),
    },
    compile: {
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
      ...(target === undefined ? {} : { target }),
    },
  })
  if (!result.success) throw new Error(result.logs.map(({ message }) => message).join("\n"))
  if (options.entry === undefined && embedded.count !== 1)
    throw new Error(`etcd3's protocol file was put in ${embedded.count} times, expected once`)
}

/** Replaces the reading of etcd3's `rpc.proto` at run time by the parsed file. */
function embedProtocol(embedded: { count: number }): BunPlugin {
  const place = "(0, proto_loader_1.loadSync)(`${__dirname}/../proto/rpc.proto`,"
  return {
    name: "embed etcd3's protocol",
    setup(builder) {
      builder.onLoad({ filter: /etcd3[\\/]lib[\\/]connection-pool\.js$/ }, async ({ path }) => {
        const source = await Bun.file(path).text()
        if (!source.includes(place))
          throw new Error("etcd3 has changed: the place where it loads its protocol was not found")
        const protocol = new Root()
        protocol.loadSync(join(dirname(path), "../proto/rpc.proto"), { keepCase: true })
        embedded.count++
        const parsed = JSON.stringify(protocol.toJSON())
        return {
          loader: "js",
          contents: source.replace(place, () => `(0, proto_loader_1.fromJSON)(${parsed},`),
        }
      })
    },
  }
}

async function version(): Promise<string> {
  const manifest: unknown = await Bun.file(join(root, "package.json")).json()
  if (typeof manifest !== "object" || manifest === null || !("version" in manifest))
    throw new Error("package.json has no version")
  return String(manifest.version)
}

async function commit(): Promise<string> {
  try {
    const git = Bun.spawn(["git", "rev-parse", "--short", "HEAD"], {
      cwd: root,
      stdout: "pipe",
      stderr: "ignore",
    })
    const text = (await new Response(git.stdout).text()).trim()
    return (await git.exited) === 0 && text !== "" ? text : "unknown"
  } catch {
    return "unknown" // no git on this machine
  }
}

/** What we build for: Linux, either C library. */
const isTarget = (word: string): word is Bun.Build.CompileTarget =>
  /^bun-linux-(x64|arm64)(-baseline|-modern)?(-musl)?$/.test(word)

function parseArguments(argv: readonly string[]): BuildOptions {
  const given = new Map<string, string>()
  for (let i = 0; i < argv.length; i += 2) {
    const [flag = "", value] = argv.slice(i, i + 2)
    if (!["--outfile", "--target"].includes(flag) || value === undefined)
      throw new Error(`usage: bun scripts/build.ts [--outfile FILE] [--target TARGET]; not ${flag}`)
    given.set(flag, value)
  }
  const target = given.get("--target")
  if (target !== undefined && !isTarget(target)) throw new Error(`no such target: ${target}`)
  return {
    outfile: given.get("--outfile") ?? join(root, "dist/stolon"),
    ...(target === undefined ? {} : { target }),
  }
}

if (import.meta.main) {
  const start = performance.now()
  try {
    const options = parseArguments(process.argv.slice(2))
    await build(options)
    const megabytes = (Bun.file(options.outfile).size / 1e6).toFixed(0)
    const took = Math.round(performance.now() - start)
    console.log(`${options.outfile}: ${megabytes} MB in ${took} ms`)
  } catch (error) {
    for (const each of error instanceof AggregateError ? error.errors : [error])
      console.error(`build: ${each instanceof Error ? each.message : String(each)}`)
    process.exitCode = 1
  }
}
