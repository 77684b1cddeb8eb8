/**
 * Inside the namespaces of `main.ts`: starts the engine, builds our images with the script and the
 * Dockerfile that users have, and runs the program. The Debian below them comes from a file, since
 * no registry is asked for anything.
 *
 * It must run nowhere else: it starts an engine, and removes all containers that this one has.
 */
import { mkdir, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { until } from "#test/conformance/wait.ts"
import { gatewayPort, joinGateway } from "./gateway.ts"

/** What `main.ts` says to do. */
export interface Orders {
  readonly cache: string
  /** The socket that leads out. */
  readonly gateway: string
  /** Below which the containers' control groups are made. */
  readonly cgroup: string
  readonly command: readonly string[]
}

/** The exit code that says that the engine did not start. */
export const noEngine = 75

const startMs = 120_000
/** Where namespaces have a file system in memory. */
const run = "/run/stolon-engine"
const socket = `unix://${run}/docker.sock`

const environment = {
  ...process.env,
  HOME: run, // no settings of whoever runs this
  DOCKER_CONFIG: run,
  DOCKER_HOST: socket,
  // the builder that every version of the command has
  DOCKER_BUILDKIT: "0",
  TESTCONTAINERS_HOST_OVERRIDE: "127.0.0.1",
  // what it would clean up ends with the namespaces
  TESTCONTAINERS_RYUK_DISABLED: "true",
  STOLON_TEST_CONTAINERS: "1",
}
const inherited = { env: environment, stdio: ["ignore", "inherit", "inherit"] } as const
const told = (words: readonly string[]): number =>
  Bun.spawnSync([...words], { ...inherited, stdio: ["ignore", "inherit", "inherit"] }).exitCode

function docker(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["docker", ...argv], { env: environment })
  if (exitCode !== 0) throw new Error(`docker ${argv.join(" ")}: ${stderr.toString().trim()}`)
  return stdout.toString().trim()
}

async function main(orders: Orders): Promise<number> {
  await mkdir(run, { recursive: true })
  told(["ip", "link", "set", "lo", "up"])
  await joinGateway(orders.gateway)
  const engine = await startEngine(orders)
  if (engine === null) return noEngine
  try {
    clear()
    await makeImages(orders)
    return await Bun.spawn([...orders.command], {
      env: environment,
      stdio: ["ignore", "inherit", "inherit"],
    }).exited
  } finally {
    clear()
    engine.kill("SIGTERM")
    await engine.exited
  }
}

/**
 * Without a firewall of its own making: the namespace has nobody to be protected from. Its images
 * stay where they are from run to run.
 */
async function startEngine(orders: Orders): Promise<Bun.Subprocess | null> {
  // it writes a key there, and would read what the machine's administrator meant for another one
  told(["mount", "-t", "tmpfs", "tmpfs", "/etc/docker"])
  const log = join(orders.cache, "engine.log")
  await rm(log, { force: true })
  const words = [
    ...["dockerd", "--host", socket, "--data-root", join(orders.cache, "engine")],
    ...["--exec-root", `${run}/exec`, "--pidfile", `${run}/docker.pid`],
    ...["--iptables=false", "--ip-masq=false", "--cgroup-parent", orders.cgroup],
  ]
  const output = Bun.file(log)
  const engine = Bun.spawn(words, { env: environment, stdio: ["ignore", output, output] })
  try {
    await until(
      "the engine",
      () => {
        if (engine.exitCode !== null) return "ended"
        return docker("info", "--format", "{{.ID}}")
      },
      startMs,
    )
    if (engine.exitCode === null) return engine
  } catch (error) {
    console.log(String(error))
    engine.kill("SIGKILL")
  }
  const said = (await output.text()).trimEnd().split("\n")
  console.log(`dockerd: ${said.slice(-10).join("\n")}`)
  return null
}

/** What a run that was killed has left in the engine's files, or this one. */
function clear(): void {
  const containers = docker("ps", "--all", "--quiet").split("\n").filter(Boolean)
  if (containers.length > 0) docker("rm", "--force", "--volumes", ...containers)
  docker("network", "prune", "--force")
  const volumes = docker("volume", "ls", "--quiet").split("\n").filter(Boolean)
  if (volumes.length > 0) docker("volume", "rm", "--force", ...volumes)
}

async function makeImages(orders: Orders): Promise<void> {
  const file = join(orders.cache, "debian.tar")
  // another file is another image, and everything upon it is made anew
  const base = `stolon-test-debian:${Math.floor((await stat(file)).mtimeMs)}`
  if (docker("images", "--quiet", base) === "") docker("import", file, base)
  console.log("building the images")
  const log = join(orders.cache, "image.log")
  const built = Bun.spawn([join(import.meta.dir, "../../scripts/image/build.sh")], {
    stdio: ["ignore", Bun.file(log), Bun.file(log)],
    env: {
      ...environment,
      ENGINE: "docker",
      DEBIAN: base,
      OPTIONS: `--network=host --build-arg=http_proxy=http://127.0.0.1:${gatewayPort}`,
    },
  })
  // meanwhile we are its way out
  if ((await built.exited) !== 0) {
    console.log(await Bun.file(log).text())
    throw new Error("the images cannot be built")
  }
  docker("image", "prune", "--force")
}

if (import.meta.main) {
  const first = await Bun.file("/proc/1/comm").text()
  if (first !== "sh\n") throw new Error("this is for the namespaces that main.ts makes")
  process.exit(await main(parseOrders(process.argv[2] ?? "")))
}

// It is our own, written a moment ago by `main.ts`.
function parseOrders(text: string): Orders {
  return JSON.parse(text) as Orders
}
