/**
 * Sessions of real programs with a real PostgreSQL: called idle exactly when the server calls them
 * so, and none of their transactions broken by a drain.
 */
import { expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import postgres from "postgres"

import { millis } from "#base/brand.ts"
import { type Follow, fromClient, fromServer, isIdle, newFollow } from "#relay/follow.ts"
import { newKeys } from "#relay/keys.ts"
import { readers } from "#relay/readers.ts"
import { relay } from "#relay/relay.ts"
import { until } from "#test/unit/relay/world.ts"

import { bin, freePort } from "./postgres/keeper.ts"
import { asPostgres } from "./run-as.ts"

const local = "127.0.0.1"

/** PostgreSQL with pgbench's tables. */
async function server() {
  const directory = mkdtempSync(join(tmpdir(), "stolon-relay-"))
  const port = await freePort()
  const data = join(directory, "data")
  const log = join(directory, "log")
  const run = (program: string, ...argv: readonly string[]): void => {
    const { exitCode, stderr } = Bun.spawnSync([join(bin, program), ...argv], { stdout: "ignore" })
    if (exitCode !== 0) throw new Error(`${program}: ${stderr.toString()}`)
  }
  run("initdb", "-D", data, "-U", "me", "-A", "trust", "--no-sync")
  const options = `-p ${port} -c listen_addresses=${local} -k ${directory} -c fsync=off`
  run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
  run("pgbench", "-i", "-q", "-h", local, "-p", `${port}`, "-U", "me", "postgres")
  return {
    port,
    log: () => readFileSync(log, "utf8"),
    /** Somebody is in pg_sleep. */
    sleeping(): boolean {
      const sql = "select count(*) > 0 from pg_stat_activity where wait_event = 'PgSleep'"
      const where = ["-h", local, "-p", `${port}`, "-U", "me", "postgres"]
      const asked = Bun.spawnSync([join(bin, "psql"), "-XAtc", sql, ...where])
      return asked.stdout.toString().trim() === "t"
    },
    [Symbol.dispose]() {
      run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

interface Tapped {
  readonly follow: Follow
  client: Bun.Socket<Tapped> | null
  upstream: Bun.Socket<Tapped> | null
  /** Pieces seen, and the port that the server knows the session by. */
  pieces: number
  port: number
}

/** A proxy that follows each session and lets the test look. Nothing is held back: small loads. */
async function tap(port: number) {
  const sessions = new Set<Tapped>()
  const pass = (socket: Bun.Socket<Tapped> | null, chunk: Uint8Array): void => {
    if (socket !== null && socket.write(chunk) !== chunk.byteLength) throw new Error("too much")
  }
  const listener = Bun.listen<Tapped>({
    hostname: local,
    port: 0,
    data: { follow: newFollow(), client: null, upstream: null, pieces: 0, port: 0 },
    socket: {
      async open(client) {
        const of: Tapped = { follow: newFollow(), client, upstream: null, pieces: 0, port: 0 }
        client.data = of
        client.pause()
        of.upstream = await Bun.connect<Tapped>({
          hostname: local,
          port,
          data: of,
          socket: {
            data(_, chunk) {
              of.pieces++
              fromServer(of.follow, chunk)
              pass(of.client, chunk)
            },
            close() {
              sessions.delete(of)
              client.end()
            },
          },
        })
        of.port = of.upstream.localPort
        sessions.add(of)
        client.resume()
      },
      data({ data: of }, chunk) {
        of.pieces++
        fromClient(of.follow, chunk)
        pass(of.upstream, chunk)
      },
      close: ({ data: of }) => void of.upstream?.end(),
    },
  })
  return { port: listener.port, sessions, [Symbol.dispose]: () => listener.stop(true) }
}

const program = (name: string, port: number, argv: readonly string[], input = "") =>
  Bun.spawn([name, "-h", local, "-p", `${port}`, "-U", "me", ...argv, "postgres"], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"], PGSSLMODE: "prefer", HOME: tmpdir() },
  })

const script = `
select 1; select 1/0; begin; select pg_sleep(0.15); select 1/0; select 2; rollback;
create table t (a int); begin; insert into t select generate_series(1, 2000); commit;
\\copy t to program 'cat > /dev/null'
\\copy t from program 'sleep 0.2; seq 1 2000'
\\copy t from program 'echo 1; sleep 0.2; echo not a number; seq 1 2000'
\\set AUTOCOMMIT off
select count(*) from t; select pg_sleep(0.1); commit; select 3; \\! sleep 0.1
commit; \\! sleep 0.3
`

if (asPostgres(import.meta.path)) {
  test("isIdle() is true of psql and pgbench exactly when the server says idle", async () => {
    using at = await server()
    using proxy = await tap(at.port)
    const sql = postgres({ host: local, port: at.port, user: "me", database: "postgres", max: 1 })
    await using _ = { [Symbol.asyncDispose]: () => sql.end() }
    const seen = { idle: 0, busy: 0 }
    /** Bytes may be under way; where they disagree for long while nothing moves, one is wrong. */
    const doubted = new Map<Tapped, { readonly pieces: number; readonly since: number }>()
    const look = async (): Promise<void> => {
      const before = [...proxy.sessions].map((of) => ({ of, pieces: of.pieces }))
      const rows = await sql<{ port: number; state: string }[]>`
        select client_port as port, state from pg_stat_activity
        where backend_type = 'client backend' and state is not null`
      for (const { of, pieces } of before) {
        const row = rows.find(({ port }) => port === of.port)
        if (row === undefined || of.pieces !== pieces) continue // it went on meanwhile
        const idle = isIdle(of.follow)
        expect(of.follow.opaque).toBe(false)
        if (idle === (row.state === "idle")) {
          doubted.delete(of)
          seen[idle ? "idle" : "busy"]++
          continue
        }
        const doubt = doubted.get(of)
        if (doubt?.pieces !== pieces) doubted.set(of, { pieces, since: performance.now() })
        else if (performance.now() - doubt.since > 80)
          throw new Error(`it is ${row.state}, and we say ${idle ? "idle" : "busy"}`)
      }
    }
    const runs = [
      program("psql", proxy.port, ["-X", "-f", "-"], script),
      program("psql", proxy.port, ["-X", "-f", "-"], "select pg_sleep(0.4);\n\\! sleep 0.4\n"),
      ...["simple", "extended", "prepared"].map((mode) =>
        program("pgbench", proxy.port, ["-n", "-M", mode, "-c", "3", "-T", "2", "-R", "60"]),
      ),
    ]
    const over = Promise.all(runs.map(({ exited }) => exited))
    let running = true
    void over.then(() => (running = false))
    while (running) await look()
    expect(await over).toEqual([0, 0, 0, 0, 0])
    expect(seen.idle).toBeGreaterThan(50)
    expect(seen.busy).toBeGreaterThan(10)
  }, 60_000)

  test("S6 apply() drains pgbench in every protocol without breaking a transaction", async () => {
    using at = await server()
    await using proxy = relay({
      host: local,
      port: 0,
      dialTimeout: millis(5_000),
      keepalive: { idle: 0, interval: 0, count: 0 },
      hold: { timeout: millis(30_000), max: 100 },
      max: 0,
      prefaced: false,
    })
    await proxy.listen()
    const to = { kind: "forward", host: local, port: at.port } as const
    for (const mode of ["simple", "extended", "prepared"]) {
      const before = proxy.stats()
      await proxy.apply(to)
      const bench = program("pgbench", proxy.port, ["-n", "-M", mode, "-c", "8", "-T", "60"])
      await until("it works", () => proxy.stats().bytesIn > before.bytesIn + 100_000, 20_000)
      expect(await proxy.apply({ kind: "wait", drain: millis(5_000) })).toBe("done")
      expect(proxy.stats()).toMatchObject({ sessions: 0, cut: 0, drained: before.drained + 8 })
      const said = await new Response(bench.stderr).text()
      expect(said).toContain("the proxy has ended this connection while it was idle")
      await bench.exited
    }
    const held = program("psql", proxy.port, ["-X", "-At", "-c", "select 'led on'"])
    await until("held", () => proxy.stats().held === 1)
    await proxy.apply(to)
    expect(await new Response(held.stdout).text()).toBe("led on\n")
    // A session that ends inside a transaction is one that the server complains of.
    expect(at.log()).not.toMatch(/open transaction|connection reset|could not receive/i)
  }, 60_000)
  test("D-61 psql cancels through one port what runs behind the other, on the server where it runs", async () => {
    using primary = await server()
    using standby = await server()
    const options = {
      ...{ host: local, port: 0, dialTimeout: millis(5_000), max: 0, prefaced: false },
      keepalive: { idle: 0, interval: 0, count: 0 },
      hold: { timeout: millis(30_000), max: 100 },
    }
    const keys = newKeys()
    await using proxy = relay(options, { keys })
    await using reads = readers(options, proxy, { keys })
    await proxy.listen()
    await reads.listen()
    await proxy.apply({ kind: "forward", host: local, port: primary.port })
    await reads.apply({ to: [[{ host: local, port: standby.port }]], leaving: [] })
    for (const [port, at] of [
      [proxy.port, primary],
      [reads.port, standby],
    ] as const) {
      const sleeper = program("psql", port, ["-X", "-c", "select pg_sleep(60)"])
      const accepted = (): number => proxy.stats().accepted + reads.stats().accepted
      await until("it sleeps", () => at.sleeping())
      const before = accepted()
      sleeper.kill("SIGINT")
      expect(await new Response(sleeper.stderr).text()).toContain("canceling statement due to user")
      expect(accepted()).toBe(before + 1)
      await sleeper.exited
    }
  }, 60_000)
}
