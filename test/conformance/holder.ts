/**
 * A process that holds something in a store, to be killed or frozen by a test: started with one
 * JSON argument, it speaks in lines on stdout and obeys lines on stdin.
 */
import { decode } from "#model/codec.ts"
import { SentinelInfo } from "#model/info.ts"
import { openKeyValue, openStore } from "#store/open.ts"
import { millis } from "#base/brand.ts"
import { sentinelUID } from "#model/ids.ts"
import type { StoreSettings } from "#port/store.ts"

export type Role =
  | { readonly kind: "publish"; readonly uid: string; readonly ttl: number }
  | { readonly kind: "lead"; readonly uid: string }
  | { readonly kind: "count"; readonly key: string; readonly times: number }

const alive = new AbortController().signal
const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function publish(settings: StoreSettings, role: Role & { kind: "publish" }): Promise<void> {
  const store = await openStore(settings)
  const info = { ...decode(SentinelInfo, "{}"), UID: sentinelUID(role.uid) }
  await store.publish({ kind: "sentinel", info }, millis(role.ttl), alive)
  say("published")
  await new Promise(() => setInterval(() => {}, 1000)) // until killed
}

/** Leads, says when it has lost the office, and tries to write all the same. */
async function lead(settings: StoreSettings, role: Role & { kind: "lead" }): Promise<void> {
  const store = await openStore(settings)
  say("standing")
  const leadership = await store.campaign(sentinelUID(role.uid), alive)
  say("leading")
  leadership.signal.addEventListener("abort", () => say("lost"))
  for await (const _ of console) {
    const reading = await store.read(alive)
    if (reading.kind === "absent") throw new Error("there is nothing to write over")
    const expected = { kind: "version", version: reading.version } as const
    const written = await store.write(reading.data, expected, leadership, alive)
    say(`${leadership.signal.aborted ? "lost" : "leading"} ${written.kind}`)
  }
}

async function count(settings: StoreSettings, role: Role & { kind: "count" }): Promise<void> {
  const kv = await openKeyValue(settings, alive)
  for (let done = 0; done < role.times;) {
    const entry = await kv.get(role.key, alive)
    const expected =
      entry === null
        ? ({ kind: "absent" } as const)
        : ({ kind: "version", version: entry.version } as const)
    const value = String(Number(entry?.value ?? 0) + 1)
    const written = await kv.swap(role.key, value, expected, null, alive)
    if (written.kind === "written") done++
    if (written.kind === "unknown") throw new Error(written.why)
  }
  await kv[Symbol.asyncDispose]()
  say("counted")
}

if (import.meta.main) {
  const { settings, role } = JSON.parse(process.argv[2] ?? "") as {
    readonly settings: StoreSettings
    readonly role: Role
  }
  switch (role.kind) {
    case "publish":
      await publish(settings, role)
      break
    case "lead":
      await lead(settings, role)
      break
    case "count":
      await count(settings, role)
      break
  }
}
