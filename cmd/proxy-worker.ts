/**
 * `stolon proxy-worker`: one of the processes that `stolon proxy --workers` shares its clients out
 * to. Hidden; `lib/relay/worker.ts` starts it and gives its orders. It decides nothing, and ends
 * when its input does; signals that a terminal sends to all are for the proxy alone.
 */
import { work } from "#relay/worker.ts"

const deaf = (): void => {}

export async function main(): Promise<number> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, deaf)
  await work(Bun.stdin.stream(), (report) => {
    process.stdout.write(`${JSON.stringify(report)}\n`)
  })
  return 0
}
