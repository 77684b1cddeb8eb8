/**
 * One script about PostgreSQL, told to two listeners: the model of this folder and PostgreSQL 15.
 * What both must say alike is what the protocol rests on: timelines, the wait for synchronous
 * standbys, cancel, crash, rewind, asynchronous reload.
 *
 * The script only observes what settles (`until`), never how long it took.
 */

/** What a client knows of its insert. */
export type Insert = "pending" | "done" | "done with notice" | "lost" | "refused"

export interface Facts {
  readonly up: boolean
  readonly inRecovery: boolean
  readonly timeline: number
  readonly streaming: boolean
  /** Timelines that ended, oldest first. */
  readonly history: readonly number[]
  readonly syncStandbys: readonly string[]
  readonly rows: readonly number[]
}

export interface Config {
  /** synchronous_standby_names; empty for none. */
  readonly sync?: string
  /** Streams from this server, as a standby named after itself. */
  readonly follow?: string
  /** Lets ordinary clients in. */
  readonly open?: boolean
}

export interface Lab extends AsyncDisposable {
  initdb(name: string): Promise<void>
  /** A copy of a running server. */
  clone(from: string, to: string): Promise<void>
  /** Writes the files; nothing is reloaded. */
  configure(name: string, config: Config): Promise<void>
  start(name: string): Promise<void>
  stop(name: string): Promise<void>
  /** Every process of it is killed at once. */
  crash(name: string): Promise<void>
  reload(name: string): Promise<void>
  promote(name: string): Promise<void>
  rewind(name: string, source: string): Promise<void>
  /** Begins an insert in a session of its own. */
  insert(name: string, row: number): Promise<() => Insert>
  /** Cancels every commit that waits for a standby. */
  cancel(name: string): Promise<void>
  facts(name: string): Promise<Facts>
  /** The position of the last checkpoint of a stopped server is in the log of a running one. */
  covers(running: string, stopped: string): Promise<boolean>
  until(what: string, met: () => Promise<boolean> | boolean): Promise<void>
}

export type Say = (line: string) => void

/** Runs the whole script; `say` gets one line for each thing that was seen. */
export async function script(lab: Lab, say: Say): Promise<void> {
  await lab.initdb("a")
  await lab.configure("a", { open: true })
  await lab.start("a")
  await acknowledged(lab, "a", 1)
  await addStandby(lab, "a", "b")
  say(`b streams: ${words(await lab.facts("b"))}`)
  await synchronousWait(lab, say)
  await crashed(lab, say)
  await handedOver(lab, say)
  await diverged(lab, say)
  await closed(lab, say)
}

const words = ({ inRecovery, timeline, history, rows }: Facts): string =>
  `${inRecovery ? "standby" : "primary"} on timeline ${timeline} after [${history.join(" ")}] with rows ${rows.join(" ")}`

async function acknowledged(lab: Lab, name: string, row: number): Promise<void> {
  const state = await lab.insert(name, row)
  await lab.until(`row ${row} is acknowledged`, () => state() === "done")
}

async function addStandby(lab: Lab, from: string, to: string): Promise<void> {
  await lab.clone(from, to)
  await lab.configure(to, { follow: from, open: true })
  await lab.start(to)
  await streams(lab, to)
}

const streams = (lab: Lab, name: string): Promise<void> =>
  lab.until(`${name} streams`, async () => (await lab.facts(name)).streaming)
const hasRow = (lab: Lab, name: string, row: number): Promise<void> =>
  lab.until(`${name} has row ${row}`, async () => (await lab.facts(name)).rows.includes(row))

/** Waiting, releasing by the standby, by a cancel, and by a reload that takes the names away. */
async function synchronousWait(lab: Lab, say: Say): Promise<void> {
  await lab.configure("a", { sync: "b", open: true })
  await lab.reload("a")
  await lab.until("b is synchronous", async () => (await lab.facts("a")).syncStandbys.includes("b"))
  await acknowledged(lab, "a", 2)
  say(`acknowledged with b: b has ${(await lab.facts("b")).rows.join(" ")}`)
  await lab.stop("b")
  await lab.until(
    "a knows that b is gone",
    async () => (await lab.facts("a")).syncStandbys.length === 0,
  )
  const cancelled = await lab.insert("a", 3)
  await waits(lab, "a", 3, cancelled)
  say(`without b: ${cancelled()}, visible rows ${(await lab.facts("a")).rows.join(" ")}`)
  await lab.cancel("a")
  await lab.until("the cancel is answered", () => cancelled() !== "pending")
  say(`after a cancel: ${cancelled()}, visible rows ${(await lab.facts("a")).rows.join(" ")}`)
  const released = await lab.insert("a", 4)
  await waits(lab, "a", 4, released)
  await lab.configure("a", { open: true })
  await lab.reload("a")
  await lab.until("the reload releases it", () => released() !== "pending")
  say(`after the names went away: ${released()}`)
}

/** It is in the local log and not answered: a short wait that ends by a fact, not by time. */
const waits = (lab: Lab, name: string, row: number, state: () => Insert): Promise<void> =>
  lab.until(
    `row ${row} waits on ${name}`,
    async () => state() === "pending" && (await lab.facts(name)).up,
  )

/** A crash makes a commit visible that nobody acknowledged. */
async function crashed(lab: Lab, say: Say): Promise<void> {
  await lab.configure("a", { sync: "b", open: true })
  await lab.reload("a")
  // The names come into force at their own time: an insert before that is simply acknowledged.
  let row = 100
  let state = await lab.insert("a", row)
  const answered = async (): Promise<boolean> => {
    if (state() !== "done") return true
    state = await lab.insert("a", ++row)
    return false
  }
  await lab.until("an insert waits", async () => (await answered()) && (await isWaiting(lab)))
  await lab.crash("a")
  await lab.until("the client heard of it", () => state() !== "pending")
  say(`in the crash: ${state()}`)
  await lab.start("a")
  await lab.until("a is up", async () => (await lab.facts("a")).up)
  say(
    `after the crash the row is ${(await lab.facts("a")).rows.includes(row) ? "visible" : "gone"}`,
  )
  await lab.start("b")
  await streams(lab, "b")
  await hasRow(lab, "b", row)
  await lab.configure("a", { open: true })
  await lab.reload("a")
}

const isWaiting = async (lab: Lab): Promise<boolean> => {
  const { up, syncStandbys } = await lab.facts("a")
  return up && syncStandbys.length === 0
}

/**
 * A fast stop sends everything; the standby takes over and the old primary follows without a
 * rewind.
 */
async function handedOver(lab: Lab, say: Say): Promise<void> {
  const state = await lab.insert("a", 20)
  await lab.until("row 20 is acknowledged", () => state() === "done")
  await lab.stop("a")
  say(`b has the shutdown checkpoint: ${await lab.covers("b", "a")}`)
  await lab.promote("b")
  say(`b promoted: timeline ${(await lab.facts("b")).timeline}`)
  await lab.configure("a", { follow: "b", open: true })
  await lab.start("a")
  await streams(lab, "a")
  await acknowledged(lab, "b", 21)
  await hasRow(lab, "a", 21)
  const { timeline, history } = await lab.facts("a")
  say(`a follows without rewind: timeline ${timeline} after [${history.join(" ")}]`)
}

/**
 * A primary that wrote beyond the fork does not stream; after a rewind it does, without its rows.
 */
async function diverged(lab: Lab, say: Say): Promise<void> {
  await lab.stop("a")
  await acknowledged(lab, "b", 30)
  await lab.crash("b")
  await lab.start("a")
  await lab.until("a is up", async () => (await lab.facts("a")).up)
  await lab.promote("a")
  await acknowledged(lab, "a", 31)
  await lab.configure("b", { follow: "a", open: true })
  await lab.start("b")
  await lab.until("b is up", async () => (await lab.facts("b")).up)
  const { streaming, rows } = await lab.facts("b")
  say(`b diverged: streaming ${streaming}, row 30 ${rows.includes(30) ? "there" : "gone"}`)
  await lab.stop("b")
  await lab.rewind("b", "a")
  await lab.configure("b", { follow: "a", open: true })
  await lab.start("b")
  await streams(lab, "b")
  await hasRow(lab, "b", 31)
  const after = await lab.facts("b")
  say(`b rewound: timeline ${after.timeline}, row 30 ${after.rows.includes(30) ? "there" : "gone"}`)
}

/** pg_hba.conf keeps clients out, recovery keeps writes out. */
async function closed(lab: Lab, say: Say): Promise<void> {
  const standby = await lab.insert("b", 40)
  await lab.until("the standby answers", () => standby() !== "pending")
  say(`insert on a standby: ${standby()}`)
  await lab.configure("a", { open: false })
  await lab.reload("a")
  const refused = async (): Promise<boolean> => {
    const state = await lab.insert("a", 41)
    await lab.until("the insert ends", () => state() !== "pending")
    return state() === "refused"
  }
  await lab.until("a refuses clients", refused)
  say("a closed pg_hba.conf: refused")
}
