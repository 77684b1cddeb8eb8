/**
 * Workers as the real command, whatever other tests of the same process have put in its place; none
 * outlives the test file.
 */
import { afterAll } from "bun:test"

import type { Worker } from "#relay/crew.ts"
import type { Report } from "#relay/orders.ts"
import { startWorker } from "#relay/worker.ts"

type Started = Worker & { readonly pid: number }

/** Starts one; `started` is all of them, in the order of their start. */
export function realWorkers() {
  const started: Started[] = []
  const start = (heard: (report: Report) => void): Started => {
    const before = process.env["STOLON_SELF"]
    delete process.env["STOLON_SELF"]
    try {
      const worker = startWorker(heard)
      started.push(worker)
      return worker
    } finally {
      if (before !== undefined) process.env["STOLON_SELF"] = before
    }
  }
  afterAll(() => {
    for (const worker of started) worker.kill()
  })
  return { start, started }
}
