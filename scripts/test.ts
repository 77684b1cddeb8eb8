/**
 * Runs the suites, one after the other: they start real servers and measure time, and two cores are
 * all there may be. Ends with the line `N passed, N failed`, summed over all, and exit code 1 when
 * anything failed.
 *
 *   bun scripts/test.ts [SUITE…]
 *
 * Counts come from bun's own report. A suite that ends badly without a failed test (a crash, a leak
 * that hangs it) counts as one failure, so nothing red can look green.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  rmdirSync,
  statSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

interface Suite {
  readonly name: string
  /** Arguments to `bun test`. */
  readonly args: readonly string[]
  /** Bound for the whole suite. */
  readonly minutes: number
  /** Fetches a server; where it cannot be had its tests are skipped and say so. */
  readonly tries?: readonly string[]
  /** A program that runs the suite's words where the suite needs them run. */
  readonly through?: readonly string[]
  /** Runs only when it is named: what it needs has to be fetched first. */
  readonly named?: {
    readonly before: readonly string[]
    readonly env: Readonly<Record<string, string>>
  }
}

const root = join(import.meta.dir, "..")
/** Set in the run that has a readable checkout. */
const mirrored = "STOLON_TEST_MIRRORED"
const reports = join(root, ".cache", "reports")

const versions = ["13", "15", "17", "18"]

const kubernetes = ["", "-ctl", "-election", "-faults", "-layout"].map(
  (part) => `test/conformance/kubernetes${part}.test.ts`,
)

const etcds = ["3.3", "3.5"]
const etcdTests = ["etcd-access", "etcd-faults", "etcd-single", "etcd-three", "etcdv2"].map(
  (name) => `test/conformance/${name}.test.ts`,
)

const suites: readonly Suite[] = [
  { name: "unit", args: ["--parallel=2", "test/unit"], minutes: 5 },
  { name: "fuzz", args: ["--timeout=120000", "test/fuzz", "test/protocol"], minutes: 4 },
  {
    name: "conformance",
    args: ["--timeout=30000", "test/conformance"],
    minutes: 10,
    tries: ["scripts/getserver.sh", "consul"],
  },
  { name: "sim", args: ["--timeout=300000", "test/sim"], minutes: 10 },
  { name: "stories", args: ["test/stories"], minutes: 2 },
  { name: "mixed", args: ["test/peers", "test/mixed"], minutes: 4 },
  { name: "binary", args: ["--timeout=120000", "test/binary"], minutes: 4 },
  { name: "e2e", args: ["--timeout=120000", "test/e2e"], minutes: 14 },
  { name: "faults", args: ["--timeout=120000", "test/faults"], minutes: 8 },
  {
    name: "conformance-kubernetes",
    args: ["--timeout=30000", ...kubernetes],
    minutes: 10,
    named: { before: ["scripts/getkube.sh"], env: {} },
  },
  ...etcds.map((version) => ({
    name: `conformance-etcd-${version}`,
    args: ["--timeout=30000", ...etcdTests],
    minutes: 10,
    named: {
      before: ["scripts/getserver.sh", `etcd-${version}`],
      env: { STOLON_TEST_ETCD: join(root, ".cache", `etcd-${version}`, "etcd") },
    },
  })),
  {
    name: "e2e-containers",
    args: ["--timeout=300000", "test/containers"],
    minutes: 20,
    through: ["test/containers/main.ts"],
    named: { before: [], env: {} },
  },
  {
    name: "pg-matrix",
    args: ["--timeout=120000", "test/e2e/versions", "test/e2e/initmodes"],
    minutes: 20,
    named: {
      before: ["scripts/getpg.sh", ...versions],
      env: { STOLON_TEST_PG: versions.join() },
    },
  },
]

const stdio: ["ignore", "inherit", "inherit"] = ["ignore", "inherit", "inherit"]
const inherited = { cwd: root, stdio }

interface Count {
  readonly passed: number
  readonly failed: number
}

async function run(suite: Suite): Promise<Count> {
  const folder = suite.args.findLast((word) => word.startsWith("test/")) ?? ""
  if (!existsSync(join(root, folder))) return { passed: 0, failed: 0 }
  const report = join(reports, `${suite.name}.xml`)
  rmSync(report, { force: true })
  console.log(`\n=== ${suite.name}`)
  const { before = [], env = {} } = suite.named ?? {}
  if (before.length > 0 && Bun.spawnSync([...before], inherited).exitCode !== 0)
    return { passed: 0, failed: 1 }
  if (suite.tries !== undefined) Bun.spawnSync([...suite.tries], inherited)
  const words = ["test", ...suite.args, "--reporter=junit", `--reporter-outfile=${report}`]
  const through = suite.through === undefined ? [] : [process.execPath, ...suite.through]
  const child = Bun.spawn([...through, process.execPath, ...words], {
    ...inherited,
    env: { ...process.env, ...env },
  })
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill()
  }, suite.minutes * 60_000)
  const code = await child.exited
  clearTimeout(timer)
  if (late) console.log(`${suite.name}: not done after ${suite.minutes} minutes, ended`)
  const count = read(report)
  return code !== 0 && count.failed === 0 ? { ...count, failed: 1 } : count
}

function read(report: string): Count {
  if (!existsSync(report)) return { passed: 0, failed: 0 }
  const head = /<testsuites [^>]*>/.exec(readFileSync(report, "utf8"))?.[0] ?? ""
  const number = (name: string): number =>
    Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
  const failed = number("failures")
  return { passed: number("tests") - failed - number("skipped"), failed }
}

/**
 * Tests start our programs as the user postgres, who may not enter a checkout below /root. Then
 * everything runs again in a mount namespace of its own that shows the checkout in an open place.
 * Returns the exit code, null when there is no need.
 */
function runMirrored(): number | null {
  if (process.getuid?.() !== 0 || process.env[mirrored] !== undefined || open(root)) return null
  if (Bun.spawnSync(["unshare", "--mount", "true"]).exitCode !== 0) {
    console.log(`the user postgres may not enter ${root}, and this machine has no mount namespaces`)
    return null
  }
  const place = mkdtempSync(join(tmpdir(), "stolon-checkout-"))
  chmodSync(place, 0o755)
  const inside =
    'mount --bind "$0" "$1" && cd "$1" && shift && exec node_modules/.bin/bun scripts/test.ts "$@"'
  const words = ["unshare", "--mount", "sh", "-c", inside, root, place, ...process.argv.slice(2)]
  const { exitCode } = Bun.spawnSync(words, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, [mirrored]: "1" },
  })
  rmdirSync(place)
  return exitCode
}

/** Whether everybody may enter a directory and all above it. */
const open = (path: string): boolean =>
  (statSync(path).mode & 0o001) !== 0 && (dirname(path) === path || open(dirname(path)))

const again = runMirrored()
if (again !== null) process.exit(again)
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name))
if (unknown.length > 0) {
  console.log(
    `no such suite: ${unknown.join(", ")}; there are ${suites.map(({ name }) => name).join(", ")}`,
  )
  process.exit(2)
}
mkdirSync(reports, { recursive: true })
const total = { passed: 0, failed: 0 }
const times: string[] = []
for (const suite of suites) {
  const named = wanted.includes(suite.name)
  if (!named && (wanted.length > 0 || suite.named !== undefined)) continue
  const start = performance.now()
  const { passed, failed } = await run(suite)
  total.passed += passed
  total.failed += failed
  times.push(`${suite.name} ${Math.round((performance.now() - start) / 1000)} s`)
}
console.log(`\n${times.join(", ")}`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exit(total.failed === 0 ? 0 : 1)
