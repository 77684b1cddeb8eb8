/**
 * The clients of one node, a program of its own because it has to live in the node's network: two
 * go through the node's proxy, two straight to its PostgreSQL, one of each at read committed and at
 * serializable, as an ordinary role. They append and read, and write down what they were told.
 *
 *   bun test/faults/client.ts ORDERS      (JSON: see `Orders`; ends on SIGTERM)
 *
 * An open loop: a transaction that hangs is left hanging, its answer still counts when it comes,
 * and the next begins on another connection; so a hung one hides nothing.
 */
import { closeSync, openSync, writeSync } from "node:fs"
import * as v from "valibot"
import { generator } from "#base/random.ts"
import { bootMillis } from "#system/libc.ts"
import type { Draft } from "./history.ts"
import { type Session, dial, transact } from "./transaction.ts"

const orders = v.object({
  node: v.number(),
  address: v.string(),
  proxyPort: v.number(),
  postgresPort: v.number(),
  password: v.string(),
  file: v.string(),
  seed: v.number(),
  /** Milliseconds between two transactions of one client. */
  paceMs: v.number(),
})
export type Orders = v.InferOutput<typeof orders>

/** After this long the next transaction begins, on another connection. */
const patienceMs = 300
/** After this long its connection is closed. */
const givenUpMs = 10_000
const hangingMax = 12
/** A standby is asked only now and then whether it takes writes. */
const readsOnStandby = 9

const ways = (["proxy", "direct"] as const).flatMap((via) =>
  (["read committed", "serializable"] as const).map((level) => ({ via, level })),
)

interface Client {
  stop(): void
  /** Of what is under way, as far as it is known. */
  drafts(): Iterable<Draft>
}

function start(given: Orders, index: number, record: (it: Draft) => void): Client {
  const { via, level } = ways[index % ways.length] ??
    ways[0] ?? { via: "proxy", level: "read committed" }
  const random = generator(given.seed * 100 + given.node * 10 + index)
  const door = {
    host: given.address,
    port: via === "proxy" ? given.proxyPort : given.postgresPort,
    user: "app",
    password: given.password,
  }
  const newDraft = (): Draft => ({
    client: `${given.node}${via[0]}${level[0]}`,
    node: given.node,
    via,
    level,
    start: bootMillis(),
    begun: false,
    sent: null,
    end: 0,
    outcome: "unknown",
    cancelled: false,
    server: null,
    system: null,
    timeline: null,
    recovery: false,
    actions: [],
  })
  const underWay = new Set<Draft>()
  let idle: Session | null = null
  const closed = (session: Session): void => {
    if (idle === session) idle = null
  }
  let count = 0
  let standbyReads = 0
  const attempt = async (): Promise<void> => {
    const session: Session = idle ?? dial(door, () => closed(session))
    idle = null
    const readOnly = standbyReads > 0
    if (readOnly) standbyReads--
    const value = (given.node * 10 + index) * 10_000_000 + ++count * 2
    const draft = newDraft()
    underWay.add(draft)
    const end = (): Promise<void> => session.sql.end({ timeout: 0 }).catch(() => {})
    const closing = setTimeout(() => void end(), givenUpMs)
    const done = await transact(session, draft, { readOnly, value, random })
    clearTimeout(closing)
    underWay.delete(draft)
    record(draft)
    if (done.standby && via === "direct") standbyReads = readsOnStandby
    if (done.reusable && idle === null) idle = session
    else await end()
  }
  let turn = 0
  let free = true
  const tick = (): void => {
    if (!free || underWay.size >= hangingMax) return
    const mine = ++turn
    free = false
    const release = (): void => {
      if (mine === turn) free = true
    }
    const late = setTimeout(release, patienceMs)
    void attempt().finally(() => {
      clearTimeout(late)
      release()
    })
  }
  const timer = setInterval(tick, given.paceMs)
  return { stop: () => clearInterval(timer), drafts: () => underWay }
}

function main(given: Orders): void {
  const file = openSync(given.file, "a")
  let lines: string[] = []
  const flush = (): void => {
    if (lines.length > 0) writeSync(file, `${lines.join("\n")}\n`)
    lines = []
  }
  const record = (draft: Draft): void => void lines.push(JSON.stringify(draft))
  const clients = ways.map((_, index) => start(given, index, record))
  setInterval(flush, 500)
  process.on("unhandledRejection", () => {}) // a connection that ends with nobody waiting for it
  process.once("SIGTERM", () => {
    for (const client of clients) client.stop()
    // What hangs gets a last moment; after that it is unknown for good.
    setTimeout(() => {
      for (const client of clients)
        for (const draft of client.drafts())
          record({ ...draft, outcome: "unknown", end: bootMillis() })
      flush()
      closeSync(file)
      process.exit(0)
    }, 1_500)
  })
}

main(v.parse(orders, JSON.parse(process.argv[2] ?? "{}")))
