/**
 * Processes that do the same: each question goes to all of them, and an answer is one of all.
 *
 * Whoever does not answer within a moment is killed, and counts as done only when the kernel has
 * seen its end: whoever is dead leads nobody. One that ends by itself is replaced, and its
 * successor is told everything that is in force before it lets anybody in.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { Applied } from "#port/relay.ts"
import type { Counts, Order, Question, Report } from "./orders.ts"
import { newSeeking } from "./seek.ts"
import { addStats, lastStats, noStats } from "./stats.ts"

/** One process, as seen from here. */
export interface Worker {
  tell(order: Order): void
  /** At once and for good; `ended` follows. */
  kill(): void
  /** Its input ends: it lets its clients go and ends by itself. */
  dismiss(): void
  readonly ended: Promise<void>
}
export type StartWorker = (heard: (report: Report) => void) => Worker

export interface CrewTuning {
  /** What an answer may take that has nothing to wait for. */
  readonly patience: Millis
  /** What the first answers of a process may take, its start included. */
  readonly startPatience: Millis
  /** Before a worker that ended is replaced; doubles while they end young. */
  readonly pause: Millis
  /** A worker that lived this long did not end because of how it was begun. */
  readonly oldEnough: Millis
}
export const usual: CrewTuning = {
  patience: millis(1_000),
  startPatience: millis(15_000),
  pause: millis(100),
  oldEnough: millis(10_000),
}
const pauseMax = 5_000

export interface Crew extends AsyncDisposable {
  /** `overtaken` if one of them says so. Rejects only where `listen` fails, if that is a reason. */
  ask(question: Question, bound?: Millis): Promise<Applied>
  tell(order: Order): void
  readonly counts: Counts
  /** Processes that live now, and how many had to be replaced. */
  readonly workers: { readonly alive: number; readonly replaced: number }
}

interface Seat {
  worker: Worker | null
  counts: Counts
  readonly asked: Map<number, Asked>
  /** It has answered something. */
  up: boolean
  pause: number
}

interface Asked {
  readonly resolve: (done: Applied) => void
  /** Null: it must not fail. */
  readonly reject: ((error: Error) => void) | null
  readonly timer: ReturnType<typeof setTimeout>
}

const noCounts: Counts = { primary: noStats, reads: noStats, passed: 0 }
const add = (a: Counts, b: Counts): Counts => ({
  primary: addStats(a.primary, b.primary),
  reads: addStats(a.reads, b.reads),
  passed: a.passed + b.passed,
})

/** @param inForce What a new worker is told, in this order. */
export function newCrew(
  count: number,
  start: StartWorker,
  inForce: () => { readonly orders: readonly Order[]; readonly questions: readonly Question[] },
  { patience, startPatience, pause, oldEnough }: CrewTuning,
): Crew {
  const seats = Array.from({ length: count }, (): Seat => ({
    worker: null,
    counts: noCounts,
    asked: new Map(),
    up: false,
    pause,
  }))
  let lost = noCounts
  let replaced = 0
  let over = false
  let lastID = 0

  const put = (seat: Seat, question: Question, bound: Millis): Promise<Applied> => {
    const { worker } = seat
    if (worker === null) return Promise.resolve("done")
    const id = ++lastID
    return new Promise((resolve, fail) => {
      const timer = setTimeout(() => worker.kill(), bound)
      const reject = question.order === "listen" ? fail : null
      seat.asked.set(id, { resolve, reject, timer })
      worker.tell({ ...question, id })
    })
  }
  const seeking = newSeeking()
  const hear = (seat: Seat, report: Report): void => {
    if ("passed" in report) return void (seat.counts = report)
    if ("question" in report) return seek(seat, report)
    if ("whose" in report) return seeking.answer(report.whose, report.found)
    const asked = seat.asked.get(report.id)
    if (asked === undefined) return
    if ("failed" in report && asked.reject === null) return seat.worker?.kill()
    seat.up = true
    seat.asked.delete(report.id)
    clearTimeout(asked.timer)
    if ("failed" in report) asked.reject?.(new Error(report.failed))
    else asked.resolve(report.done)
  }
  /** Asks all but the one that wants to know. */
  const seek = (seat: Seat, { question, key }: Extract<Report, { question: number }>): void => {
    const { worker } = seat
    const others = seats.flatMap((each) => (each === seat ? [] : (each.worker ?? [])))
    const id = seeking.ask(others.length, (found) =>
      worker?.tell({ order: "found", question, found }),
    )
    for (const other of others) other.tell({ order: "whose", id, key })
  }
  const occupy = (seat: Seat): void => {
    const since = performance.now()
    let worker: Worker
    try {
      worker = start((report) => hear(seat, report))
    } catch {
      return again(seat, true) // the system has nothing to spare for the moment
    }
    seat.worker = worker
    const { orders, questions } = inForce()
    for (const order of orders) worker.tell(order)
    // the next one may be able to do what this one is not
    for (const question of questions) put(seat, question, startPatience).catch(() => worker.kill())
    void worker.ended.then(() => vacate(seat, since))
  }
  const vacate = (seat: Seat, since: number): void => {
    const { primary, reads, passed } = seat.counts
    lost = add(lost, { primary: lastStats(primary), reads: lastStats(reads), passed })
    seat.worker = null
    seat.up = false
    seat.counts = noCounts
    for (const { resolve, timer } of seat.asked.values()) {
      clearTimeout(timer)
      resolve("done")
    }
    seat.asked.clear()
    if (over) return
    replaced++
    again(seat, performance.now() - since < oldEnough)
  }
  const again = (seat: Seat, young: boolean): void => {
    if (!young) seat.pause = pause
    setTimeout(() => over || occupy(seat), seat.pause)
    seat.pause = Math.min(2 * seat.pause, pauseMax)
  }

  for (const seat of seats) occupy(seat)
  return {
    async ask(question, bound = patience) {
      // what opens something may wait for a start; what ends something waits for nobody
      const boundOf = ({ up }: Seat): Millis =>
        question.order === "listen" && !up ? startPatience : bound
      const answers = await Promise.all(seats.map((seat) => put(seat, question, boundOf(seat))))
      return answers.includes("overtaken") ? "overtaken" : "done"
    },
    tell(order) {
      for (const { worker } of seats) worker?.tell(order)
    },
    get workers() {
      return { alive: seats.filter(({ worker }) => worker !== null).length, replaced }
    },
    get counts() {
      return seats.reduce((sum, { counts }) => add(sum, counts), lost)
    },
    async [Symbol.asyncDispose]() {
      over = true
      const workers = seats.flatMap(({ worker }) => worker ?? [])
      for (const worker of workers) worker.dismiss()
      const late = setTimeout(() => workers.map((worker) => worker.kill()), patience)
      await Promise.all(workers.map(({ ended }) => ended))
      clearTimeout(late)
    },
  }
}
