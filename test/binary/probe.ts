/**
 * A program to be compiled by tests: the store as the real commands use it, reached the same way
 * (loaded when asked for), with answers that a test can read. One JSON line per call.
 */
import type { StoreSettings } from "#port/store.ts"

declare const STOLON_VERSION: string
declare const STOLON_COMMIT: string

const [word = "", argument = "{}"] = process.argv.slice(2)
const say = (value: unknown): void => console.log(JSON.stringify(value))
const never = new AbortController().signal

async function store(): Promise<void> {
  const [{ openStore }, { document }, { sentinelUID, infoUID }, { millis }] = await Promise.all([
    import("#store/open.ts"),
    import("#test/conformance/scene.ts"),
    import("#model/ids.ts"),
    import("#base/brand.ts"),
  ])
  const settings = JSON.parse(argument) as StoreSettings // written by the test
  const start = performance.now()
  try {
    await using opened = await openStore(settings)
    const uid = sentinelUID("5e1f7e57")
    await opened.publish(
      {
        kind: "sentinel",
        info: { UID: uid, infoUID: infoUID("1"), capabilities: [], peerAddress: "", evidence: [] },
      },
      millis(9000),
      never,
    )
    const office = await opened.campaign(uid, never)
    const written = await opened.write(document(), { kind: "anything" }, office, never)
    const reading = await opened.read(never)
    const infos = await opened.infos(never)
    const leader = await opened.leader(never)
    await office.resign(never)
    say({ written: written.kind, read: reading.kind, infos: infos.sentinels.size, leader })
  } catch (error) {
    say({ error: String(error), ms: Math.round(performance.now() - start) })
  }
}

if (word === "version") say({ version: STOLON_VERSION, commit: STOLON_COMMIT })
if (word === "surroundings")
  say({ trap: process.env["TRAP"] ?? null, preloaded: "trapped" in globalThis })
if (word === "store") await store()
