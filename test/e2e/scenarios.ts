/**
 * Scenarios on one real cluster: each begins when the cluster has settled and ends when it has
 * settled again, with a client that writes all the while and must find every row that was
 * acknowledged. A failure comes with the ends of all logs.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Cluster, type ClusterOptions, startCluster } from "./cluster.ts"
import { rowsAt, startWriter, type Writer } from "./writer.ts"

const boundMs = 120_000

export type Scenario = (
  name: string,
  work: (cluster: Cluster, writer: Writer) => Promise<void>,
) => void

/** Registers the cluster's beginning and end with the file's tests; call it once, at the top. */
export function scenariosOn(options: ClusterOptions): Scenario {
  let cluster: Cluster | undefined
  const running = (): Cluster => {
    if (cluster === undefined) throw new Error("the cluster did not start")
    return cluster
  }
  const explained = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      console.error(cluster?.logs())
      throw error
    }
  }
  beforeAll(async () => {
    cluster = await startCluster(options)
    await explained(() => running().settled(90_000))
  }, boundMs)
  afterAll(async () => cluster?.[Symbol.asyncDispose](), boundMs)
  return (name, work) =>
    test(name, () => explained(() => fromSettledToSettled(running(), work)), boundMs)
}

async function fromSettledToSettled(
  cluster: Cluster,
  work: (cluster: Cluster, writer: Writer) => Promise<void>,
): Promise<void> {
  await cluster.settled()
  const writer = await startWriter(cluster.proxyPort)
  try {
    await writer.resumes()
    await work(cluster, writer)
    await writer.resumes()
  } finally {
    await writer.stop()
  }
  await cluster.settled()
  const there = await rowsAt(cluster.proxyPort)
  expect([...writer.acknowledged].filter((id) => !there.has(id))).toEqual([])
}
