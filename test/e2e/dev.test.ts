/**
 * `stolon dev` without a terminal, as a script would use it: it gets ready, survives the loss of
 * the primary's PostgreSQL, stops without leaving a process, and goes on with the same data.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import postgres from "postgres"
import { freePorts } from "#test/conformance/ports.ts"
import { until } from "#test/conformance/wait.ts"
import {
  type Process,
  argumentsOf,
  isAlive,
  processes,
  signalProcess,
  withDescendants,
} from "#system/process.ts"
import { type Place, binary, environment, newPlace } from "./place.ts"

const longMs = 120_000
let place: Place
let port: number
beforeAll(async () => {
  place = await newPlace("stolon-e2e-dev-")
  port = (await freePorts(1))[0] ?? 0
})
afterAll(() => place?.[Symbol.asyncDispose]())

const directory = (): string => join(place.directory, "dev")

interface Dev extends AsyncDisposable {
  /** All processes of it, itself included. */
  family(): readonly Process[]
  /** Waits for its output to say something. */
  says(what: string | RegExp, ms?: number): Promise<string>
  /** SIGINT, as from Ctrl-C; the exit code. */
  interrupt(): Promise<number>
}

function startDev(): Dev {
  const child = Bun.spawn([binary, "dev", "--dir", directory(), "--port", String(port)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
    cwd: "/tmp",
  })
  let output = ""
  const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true })
  }
  const reading = Promise.all([read(child.stdout), read(child.stderr)])
  const interrupt = async (): Promise<number> => {
    child.kill("SIGINT")
    const code = await child.exited
    await reading
    return code
  }
  return {
    family: () => withDescendants(processes(), ({ pid }) => pid === child.pid),
    says: (what, ms = 60_000) =>
      until(
        `dev to say ${what}`,
        () => {
          if (child.exitCode !== null) throw new Error(`it has ended: ${output}`)
          const found =
            typeof what === "string"
              ? output.includes(what)
                ? what
                : null
              : what.exec(output)?.[0]
          if (found === null || found === undefined) throw new Error(output)
          return found
        },
        ms,
      ),
    interrupt,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      await interrupt() // not ended by the test: it has failed
      console.error(output)
    },
  }
}

const connect = () =>
  postgres({
    host: "127.0.0.1",
    port,
    user: "stolon",
    password: readFileSync(join(directory(), "superuser.password"), "utf8"),
    database: "postgres",
    max: 1,
    connect_timeout: 2,
    onnotice: () => {},
  })

/** One query as a client that tries again while there is no primary. */
const ask = (query: string) =>
  until(
    query,
    async () => {
      const sql = connect()
      try {
        return await sql.unsafe(query)
      } finally {
        await sql.end({ timeout: 0 })
      }
    },
    60_000,
  )

test(
  "dev gets ready, replaces a killed PostgreSQL, stops cleanly and goes on with its data",
  async () => {
    let family: readonly Process[] = []
    {
      await using dev = startDev()
      expect(await dev.says(/^ready .*$/m, 90_000)).toBe(
        `ready postgresql://stolon@127.0.0.1:${port}/postgres?passfile=${directory()}/pgpass`,
      )
      await ask("create table kept as select 42 as answer")
      process.kill(await postmasterPid(), "SIGKILL")
      await ask("insert into kept values (43)")
      await allRun()
      const old = await primary()
      for (const each of await nodeOf(dev, old)) signalProcess(each, "SIGKILL")
      await until("another primary", async () => (await primary()) !== old, 30_000)
      await ask("insert into kept values (44)")
      await dev.says(new RegExp(`${old} +standby, running`), 60_000)
      await allRun()
      family = dev.family()
      expect(family.length).toBeGreaterThan(10)
      expect(await dev.interrupt()).toBe(0)
    }
    expect(family.filter(isAlive).map(({ name }) => name)).toEqual([])
    await using again = startDev()
    await again.says(/^ready /m, 90_000)
    const rows = await ask("select answer from kept order by answer")
    expect(rows.map((row) => Number(row["answer"]))).toEqual([42, 43, 44])
    expect(await again.interrupt()).toBe(0)
  },
  2 * longMs,
)

test(
  "dev leaves no process behind when it is killed itself",
  async () => {
    await using dev = startDev()
    await dev.says(/^ready /m, 90_000)
    const family = dev.family()
    const [supervisor] = family
    if (supervisor === undefined) throw new Error("nothing runs")
    process.kill(supervisor.pid, "SIGKILL")
    await until("its family to be gone", () => !family.some(isAlive), 60_000)
  },
  longMs,
)

interface Status {
  readonly members: readonly {
    readonly keeper: string
    readonly role: string
    readonly state: string
  }[]
}

async function status(): Promise<Status> {
  const store = [
    "--cluster-name=dev",
    "--store-backend=sqlite",
    `--store-endpoints=${directory()}/store.db`,
  ]
  const child = Bun.spawn([binary, "ctl", "status", "--format=json", ...store], {
    stdio: ["ignore", "pipe", "inherit"],
    env: environment(),
  })
  // our own interface: the JSON of `status`
  return (await new Response(child.stdout).json()) as Status
}

const allRun = () =>
  until(
    "three running members",
    async () => {
      const states = (await status()).members.map(({ state }) => state)
      if (states.length === 3 && states.every((state) => state === "running")) return true
      throw new Error(states.join(", "))
    },
    60_000,
  )

/** The keeper of the primary. */
const primary = async (): Promise<string> =>
  (await status()).members.find(({ role }) => role === "primary")?.keeper ?? "none"

const postmasterPid = async (): Promise<number> => {
  const file = join(directory(), "keepers", await primary(), "postgres", "postmaster.pid")
  return Number(readFileSync(file, "utf8").split("\n")[0])
}

/** A keeper with everything below it: what dies with a machine. */
async function nodeOf(dev: Dev, keeper: string): Promise<readonly Process[]> {
  const dataDir = join(directory(), "keepers", keeper)
  const family = dev.family().filter(({ pid }) => argumentsOf(pid).includes(dataDir))
  return withDescendants(processes(), ({ pid }) => family.some((each) => each.pid === pid))
}
