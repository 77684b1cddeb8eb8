/**
 * A Go sentinel as a process: the check loop of reference 5.2 around the scripted leader, and an
 * election that is Go's way of losing it: the memory is gone with the office.
 */
import { millis } from "#base/brand.ts"
import { generator } from "#base/random.ts"
import { readGo } from "./documents.ts"
import { check, newGoMemory } from "./leader.ts"
import { filled } from "./spec.ts"
import { type GoPorts, every } from "./store.ts"

export async function runGoSentinel(
  ports: GoPorts,
  uid: string,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, chance, log } = ports
  const random = generator(chance.seed())
  let sleep = 5_000
  let leads = false
  let memory = newGoMemory()
  const campaign = async (): Promise<void> => {
    const office = await store.campaign(uid, signal)
    memory = newGoMemory() // D-27
    leads = true
    log("elected as leader")
    await new Promise<void>((resolve) => {
      const end = AbortSignal.any([office.signal, signal])
      if (end.aborted) return resolve()
      end.addEventListener("abort", () => resolve(), { once: true })
    })
    leads = false
    log("stopped leading")
    // Go leaves its key to the lease, 20 s; nobody learns anything from waiting for that
    if (signal.aborted) await office.resign(new AbortController().signal).catch(() => {})
  }
  const round = async (): Promise<void> => {
    const reading = await store.read(signal)
    const data = readGo(reading.text)
    if (data === null) return
    sleep = filled(data.cluster.spec).sleep
    await store.publishSentinel(uid, sleep, signal)
    const infos = await store.infos(signal)
    if (!leads) return
    const result = check(reading.text, infos, memory, clock.now(), random)
    if (result.kind === "nothing") return log(result.why)
    for (const line of result.log) log(line)
    if (!(await store.swap(result.text, reading, signal)))
      log("error saving clusterdata: key modified")
  }
  await Promise.all([
    every(ports, () => 10_000, campaign, signal),
    every(ports, () => millis(sleep), round, signal),
  ])
}
