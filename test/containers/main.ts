/**
 * Runs a program beside a Docker engine of its own: `make e2e-containers` runs the tests of this
 * folder so. The engine, its networks and all containers live in namespaces that end with this
 * process, however it ends; an engine in the machine's own network would change the firewall for
 * everybody and leave it so.
 *
 *   bun test/containers/main.ts [COMMAND…]
 *
 * Where no engine can be had it says why and ends well. Images are kept below .cache/containers.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import { takeLock } from "#system/lock.ts"
import { until } from "#test/conformance/wait.ts"
import { binary } from "#test/e2e/place.ts"
import { sandboxed } from "#test/faults/sandbox.ts"
import { openGateway } from "./gateway.ts"
import { type Orders, noEngine } from "./inside.ts"

const root = join(import.meta.dir, "../..")
/** Empty; the engine's other half makes it wherever its files are. */
const plugins = "/opt/containerd"
const cgroup = "stolon-e2e-containers"
const cache = process.env["STOLON_CONTAINER_CACHE"] ?? join(root, ".cache/containers")

async function main(command: readonly string[]): Promise<number> {
  const hindrance = obstacle()
  if (hindrance !== null) return skip(hindrance)
  if (!existsSync(binary)) {
    console.log(`${binary} is not there; make build`)
    return 1
  }
  mkdirSync(cache, { recursive: true })
  using _ = takeLock(join(cache, "lock"))
  const orders: Orders = { cache, gateway: join(cache, "gateway.sock"), cgroup, command }
  await removeControlGroups() // of a run that could not
  await using __ = await openGateway(orders.gateway)
  const kept = existsSync(plugins)
  const words = [process.execPath, join(import.meta.dir, "inside.ts"), JSON.stringify(orders)]
  const child = Bun.spawn([...sandboxed(cache, words)], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  })
  // it takes everything in there with it
  const end = (): void => child.kill("SIGKILL")
  process.on("SIGINT", end).on("SIGTERM", end)
  const code = await child.exited
  await removeControlGroups()
  if (!kept) rmSync(plugins, { recursive: true, force: true })
  if (code === noEngine) return skip("its last words are above")
  return code
}

function skip(why: string): number {
  console.log(`e2e-containers: skipped: no container engine can be started: ${why}`)
  return 0
}

/** Why there can be no engine here, after an attempt to get what is missing; null: there can. */
function obstacle(): string | null {
  if (process.getuid?.() !== 0) return "that needs root"
  const { exitCode, stderr } = Bun.spawnSync([...sandboxed("/tmp", ["true"])])
  if (exitCode !== 0) return `no namespaces: ${stderr.toString().trim()}`
  const scripts = [["install.sh", "dockerd", "docker", "ip"], ["getdebian.sh"]]
  for (const [script = "", ...needs] of scripts) {
    const words = [join(root, "scripts", script), ...needs]
    const { success } = Bun.spawnSync(words, { stdio: ["ignore", "inherit", "inherit"] })
    if (!success) return `${script} ${needs.join(" ")}: see above`
  }
  return Bun.which("dockerd") === null ? "there is no dockerd in PATH" : null
}

/**
 * The engine's own removal does not come to pass when it is killed. They empty themselves then:
 * whoever is in them ends with the namespace.
 */
async function removeControlGroups(): Promise<void> {
  const hierarchies = "/sys/fs/cgroup"
  if (!existsSync(hierarchies)) return
  const remove = (directory: string): void => {
    for (const each of readdirSync(directory, { withFileTypes: true }))
      if (each.isDirectory()) remove(join(directory, each.name))
    rmdirSync(directory)
  }
  for (const each of ["", ...readdirSync(hierarchies)]) {
    const directory = join(hierarchies, each, cgroup)
    await until("control groups to be removed", () => {
      if (existsSync(directory)) remove(directory)
      return true
    })
  }
}

const tests = [process.execPath, "test", "--timeout=300000", "test/containers"]
const given = process.argv.slice(2)
process.exit(await main(given.length === 0 ? tests : given))
