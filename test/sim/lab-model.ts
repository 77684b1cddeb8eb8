/**
 * The script of `lab.ts` on the model: the same words, in virtual time.
 */
import { millis } from "#base/brand.ts"
import { dbUID } from "#model/ids.ts"
import type { Step } from "#model/step.ts"
import { users } from "./conf.ts"
import { type Host, createHost } from "./host.ts"
import type { Config, Facts, Insert, Lab } from "./lab.ts"
import { open, write } from "./relay.ts"
import { syncNow } from "./replication.ts"
import { type Instance, type Servers, cancelWaits, pgPort, reload } from "./server.ts"
import { runStep } from "./steps.ts"
import { isPrefix } from "./wal.ts"
import { type Process, createWorld } from "./world.ts"

const quiet = { destroying: () => {}, starting: () => {}, step: () => {}, said: () => {} }

export function modelLab(seed: number): Lab {
  const world = createWorld(seed)
  const watch = { started: () => {}, promoted: () => {}, connected: () => {} }
  const servers: Servers = { at: new Map(), watch, released: new WeakSet() }
  const hosts = new Map<string, { readonly host: Host; readonly keeper: Process }>()
  const at = (name: string): { readonly host: Host; readonly keeper: Process } => {
    const known = hosts.get(name)
    if (known !== undefined) return known
    const machine = world.machine(name, 1_000, 1)
    const made = {
      host: createHost(world, servers, machine, quiet),
      keeper: world.spawn(name, machine),
    }
    hosts.set(name, made)
    return made
  }
  const instance = (name: string): Instance => {
    const running = at(name).host.instance
    if (running === null) throw new Error(`${name} does not run`)
    return running
  }
  const until = async (what: string, met: () => Promise<boolean> | boolean): Promise<void> => {
    const limit = world.now() + 120_000
    while (!(await met())) {
      if (world.now() > limit) throw new Error(`never: ${what}`)
      world.run(world.now() + 20)
    }
  }
  const finish = async (promise: Promise<void>): Promise<void> => {
    let state: "pending" | "done" | Error = "pending"
    promise.then(
      () => void (state = "done"),
      (error: Error) => void (state = error),
    )
    await until("the step ends", () => state !== "pending")
    await promise
  }
  const run = (name: string, ...steps: readonly Step[]): Promise<void> => {
    const { host, keeper } = at(name)
    const pause = (ms: number): Promise<void> =>
      new Promise((resolve) => void world.at(ms, keeper, resolve))
    const { signal } = new AbortController()
    const all = async (): Promise<void> => {
      for (const step of steps)
        await runStep(step, { host, process: keeper, progress: () => {}, signal, pause })
    }
    return finish(all())
  }
  const source = (name: string) => ({ db: dbUID(name), host: name, port: pgPort })
  return {
    initdb: (name) =>
      run(
        name,
        { kind: "initdb", config: { locale: "", encoding: "", dataChecksums: true } },
        { kind: "swap-in" },
        { kind: "start", temporary: null },
        { kind: "wait-ready", timeout: millis(60_000) },
        { kind: "create-roles" },
        { kind: "stop", why: "set up", escalateAfter: millis(60_000), checkpoint: false },
      ),
    clone: (from, to) =>
      run(to, { kind: "clone", from: source(from), slot: "" }, { kind: "swap-in" }),
    configure: (name, config) => run(name, { kind: "write-config", files: files(name, config) }),
    start: (name) =>
      run(
        name,
        { kind: "start", temporary: null },
        { kind: "wait-ready", timeout: millis(60_000) },
      ),
    stop: (name) =>
      run(name, { kind: "stop", why: "", escalateAfter: millis(60_000), checkpoint: false }),
    crash: (name) => Promise.resolve(world.kill(instance(name).process)),
    reload: (name) => Promise.resolve(reload(instance(name))),
    promote: (name) => run(name, { kind: "promote", timeout: millis(60_000) }),
    rewind: (name, from) => run(name, { kind: "rewind", source: source(from) }),
    async insert(name, row) {
      let state: Insert = "pending"
      open(world, servers, { address: `${name}:${pgPort}` }, (connection) => {
        if (connection === null) return void (state = "refused")
        const { instance: server } = connection
        if (server.inRecovery) return void (state = "refused")
        server.onGone.push(() => void (state = state === "pending" ? "lost" : state))
        write(world, connection, row, ({ outcome }) => void (state = outcome))
      })
      world.run(world.now() + 30)
      return () => state
    },
    cancel: (name) => Promise.resolve(cancelWaits(instance(name))),
    facts: (name) => Promise.resolve(factsOf(at(name).host.instance)),
    covers(running, stopped) {
      const part = at(stopped).host.disk.data
      const whole = at(running).host.disk.data
      return Promise.resolve(part !== null && whole !== null && isPrefix(part.wal, whole.wal))
    },
    until,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function files(name: string, { sync = "", follow = "", open: clients = false }: Config) {
  const conninfo = `application_name=${name} host=${follow} port=${pgPort}`
  const lines = [`synchronous_standby_names = '${sync}'`, "wal_log_hints = 'on'"]
  if (follow !== "") lines.push(`primary_conninfo = '${conninfo}'`)
  const hba = [`host replication ${users.replication} 0.0.0.0/0 md5`]
  if (clients) hba.push("host all all 0.0.0.0/0 md5")
  const signal = follow === "" ? ("none" as const) : ("standby" as const)
  return { conf: lines.join("\n"), hba: hba.join("\n"), signal }
}

function factsOf(instance: Instance | null): Facts {
  if (instance === null || instance.phase !== "up")
    return {
      up: false,
      inRecovery: false,
      timeline: 0,
      streaming: false,
      history: [],
      syncStandbys: [],
      rows: [],
    }
  const { dir, inRecovery, upstream, waiting } = instance
  const hidden = new Set(waiting.map(({ record }) => record.row))
  return {
    up: true,
    inRecovery,
    timeline: dir.wal.timeline,
    streaming: upstream !== null,
    history: dir.wal.history.map(({ timeline }) => timeline),
    syncStandbys: inRecovery ? [] : syncNow(instance),
    rows: dir.wal.records.flatMap(({ kind, row }) =>
      kind === "commit" && !hidden.has(row) ? [row] : [],
    ),
  }
}
