/**
 * A worker as a process: the same executable under the hidden command `proxy-worker`, orders on its
 * input, reports on its output. Its input ends with ours, however we end, and so does it: nobody
 * leads clients for a proxy that is gone.
 *
 * A proxy that is frozen ends nothing; that is what `allow` is for.
 */
import * as v from "valibot"
import type { Applied } from "#port/relay.ts"
import { track } from "#system/children.ts"
import { readLines } from "#system/command.ts"
import { childEnvironment, selfCommand } from "#system/self.ts"
import type { Worker } from "./crew.ts"
import { type Received, type Report, type Setup, orderSchema, reportSchema } from "./orders.ts"
import { newKeys } from "./keys.ts"
import { readers } from "./readers.ts"
import { relay } from "./relay.ts"
import { newSeeking } from "./seek.ts"
import { noStats } from "./stats.ts"

const parse = <S extends v.GenericSchema>(schema: S, line: string): v.InferOutput<S> =>
  v.parse(schema, JSON.parse(line))

/** Starts one. What it reports that makes no sense is its end. */
export function startWorker(heard: (report: Report) => void): Worker & { readonly pid: number } {
  const child = track(
    Bun.spawn([...selfCommand(), "proxy-worker"], {
      stdio: ["pipe", "pipe", "inherit"],
      env: childEnvironment(),
    }),
  )
  const kill = (): void => child.kill("SIGKILL")
  const reading = readLines(child.stdout, (line) => heard(parse(reportSchema, line))).catch(kill)
  return {
    pid: child.pid,
    tell(order) {
      void child.stdin.write(`${JSON.stringify(order)}\n`)
      void child.stdin.flush()
    },
    kill,
    dismiss: () => void child.stdin.end(),
    ended: Promise.all([reading, child.exited]).then(() => {}),
  }
}

const reportPause = 1_000

/** Is a worker until `input` ends. */
export async function work(
  input: ReadableStream<Uint8Array>,
  say: (report: Report) => void,
): Promise<void> {
  const mine: { serving: Serving | null } = { serving: null }
  await readLines(input, (line) => {
    const order = parse(orderSchema, line)
    if (order.order === "be") mine.serving ??= serve(order.setup, say)
    else mine.serving?.obey(order)
  })
  await mine.serving?.end()
}

interface Serving {
  obey(order: Exclude<Received, { readonly order: "be" }>): void
  end(): Promise<void>
}

function serve(setup: Setup, say: (report: Report) => void): Serving {
  const seeking = newSeeking()
  const keys = newKeys(
    (key) =>
      new Promise((resolve) => {
        const question = seeking.ask(1, resolve)
        say({ question, key })
      }),
  )
  const together = { shared: true, keys }
  const primary = relay(setup.primary, together)
  const { options, fallback } = setup.reads ?? { options: setup.primary, fallback: false }
  const reads = readers(options, fallback ? primary : null, together)
  const counts = (): Report => ({
    primary: primary.stats(),
    reads: setup.reads === null ? noStats : reads.stats(),
    passed: reads.passed,
  })
  const telling = setInterval(() => say(counts()), reportPause)
  const answer = (id: number, carried: Promise<Applied | void>): void =>
    void carried.then(
      (done) => {
        say(counts())
        say({ id, done: done ?? "done" })
      },
      (error: unknown) =>
        say({ id, failed: error instanceof Error ? error.message : String(error) }),
    )
  const parts = { primary, reads }
  return {
    obey(order) {
      switch (order.order) {
        case "listen":
          return answer(order.id, parts[order.part].listen(order.port))
        case "unlisten":
          return answer(order.id, parts[order.part].unlisten())
        case "lead":
          return answer(order.id, primary.apply(order.route))
        case "spread":
          return answer(order.id, reads.apply(order.spread))
        case "whose":
          return say({ whose: order.id, found: keys.find(order.key) })
        case "found":
          return seeking.answer(order.question, order.found)
        case "allow":
          reads.allow(order.until)
          return primary.allow(order.until)
        default:
          return order satisfies never
      }
    },
    async end() {
      clearInterval(telling)
      await reads[Symbol.asyncDispose]()
      await primary[Symbol.asyncDispose]()
    },
  }
}
