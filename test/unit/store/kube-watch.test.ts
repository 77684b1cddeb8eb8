/**
 * Watches against a server that says what a real one cannot be made to say at will: bookmarks at a
 * chosen moment, streams that begin and then hang.
 */
import { expect, test } from "bun:test"
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { kubeClient } from "#store/kube-client.ts"
import { limit } from "#store/kube-limit.ts"
import { watchObjects } from "#store/kube-watch.ts"
import { realClock } from "#system/clock.ts"
import { until } from "#test/conformance/wait.ts"

const line = (type: string, version: string, name = "a"): string =>
  `${JSON.stringify({ type, object: { metadata: { name, resourceVersion: version } } })}\n`

interface Street extends AsyncDisposable {
  /** The version that each stream was asked for; null: from what there is. */
  readonly asked: (string | null)[]
  readonly said: string[]
}

/** Each stream gets the next of the answers; the last one is given again and again. */
function watching(answers: readonly (() => Response)[], clock: Clock = realClock): Street {
  const asked: (string | null)[] = []
  const said: string[] = []
  const http = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request) {
      asked.push(new URL(request.url).searchParams.get("resourceVersion"))
      const answer = answers[Math.min(asked.length, answers.length) - 1]
      return answer?.() ?? new Response("")
    },
  })
  const stop = new AbortController()
  const kube = kubeClient({
    config: {
      server: `http://127.0.0.1:${http.port}`,
      namespace: "n",
      tls: { rejectUnauthorized: true },
      authorization: () => null,
    },
    clock,
    timeout: millis(1000),
    limit: limit(clock),
    closed: stop.signal,
    agent: "stolon",
  })
  const running = watchObjects(
    kube,
    { path: "/objects", query: {}, read: async () => [] },
    {
      stands: () => said.push("stands"),
      seen: ({ metadata }) => said.push(`seen ${metadata.resourceVersion}`),
      gone: ({ metadata }) => said.push(`gone ${metadata.resourceVersion}`),
    },
    stop.signal,
  )
  return {
    asked,
    said,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await http.stop(true)
      await running
    },
  }
}
/** Says its lines and stays open, as a watch without news. */
const open = (text: string): Response =>
  new Response(
    new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode(text)),
    }),
  )

test("watchObjects() goes on from the version of a bookmark, and wakes nobody for it", async () => {
  await using street = watching([
    () => new Response(line("ADDED", "5") + line("BOOKMARK", "77")),
    () => open(line("MODIFIED", "80") + line("DELETED", "81")),
  ])
  await until("the second stream's events", () => street.said.length === 4)
  expect(street.asked).toEqual([null, "77"])
  expect(street.said).toEqual(["stands", "seen 5", "seen 80", "gone 81"])
})

test("watchObjects() begins with what there is when the server will not go on from a version", async () => {
  await using street = watching([
    () => new Response(line("ADDED", "5")),
    () => new Response("gone", { status: 410 }),
    () => open(line("ADDED", "9")),
  ])
  await until("the third stream's event", () => street.said.includes("seen 9"))
  expect(street.asked).toEqual([null, "5", null])
  expect(street.said).toEqual(["stands", "seen 5", "stands", "seen 9"])
})

test("watchObjects() leaves a stream that hangs for longer than it was asked for", async () => {
  // a clock on which 25 s pass in a quarter of a second
  const fast = (ms: number): Millis => millis(Math.max(1, ms / 100))
  const clock: Clock = {
    now: () => ({ ...realClock.now(), mono: millis(realClock.now().mono * 100) }),
    sleep: (ms, signal) => realClock.sleep(fast(ms), signal),
    deadline: (ms, signal) => realClock.deadline(ms > 5000 ? fast(ms) : ms, signal),
  }
  await using street = watching(
    [() => open(line("ADDED", "5")), () => open(line("MODIFIED", "6"))],
    clock,
  )
  await until("the second stream's event", () => street.said.includes("seen 6"))
  expect(street.asked.slice(0, 2)).toEqual([null, "5"])
  expect(street.said).toEqual(["stands", "seen 5", "stands", "seen 6"])
})

test("watchObjects() resolves when its signal aborts, whatever the server does", async () => {
  const street = watching([() => open("")])
  await until("a stream", () => street.asked.length > 0)
  await street[Symbol.asyncDispose]()
  expect(street.asked).toEqual([null])
})
