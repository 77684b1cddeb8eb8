/**
 * Starts the clients' programs in the nodes' networks, and reads what they wrote down.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { addressOf, nodeCount } from "./network.ts"
import type { Orders } from "./client.ts"
import { type Operation, parseOperation } from "./history.ts"
import type { Lab } from "./lab.ts"
import { postgresPortOf, proxyPort } from "./machine.ts"

export interface Clients {
  /** Ends them and returns everything, sorted by the time of the answer. */
  finish(): Promise<readonly Operation[]>
}

export const appPassword = "app-password"

export function startClients(lab: Lab, directory: string, seed: number, paceMs: number): Clients {
  const started = Array.from({ length: nodeCount }, (_, i) => {
    const node = i + 1
    const orders: Orders = {
      node,
      address: addressOf(node),
      proxyPort,
      postgresPort: postgresPortOf(node),
      password: appPassword,
      file: join(directory, `history${node}.jsonl`),
      seed,
      paceMs,
    }
    const program = [process.execPath, join(import.meta.dir, "client.ts"), JSON.stringify(orders)]
    const child = Bun.spawn([...lab.network.inside(node, program)], {
      stdio: ["ignore", "inherit", "inherit"],
    })
    lab.machine(node).spare(child.pid)
    return { child, file: orders.file }
  })
  return {
    finish: async () => {
      for (const { child } of started) child.kill("SIGTERM")
      const codes = await Promise.all(started.map(({ child }) => child.exited))
      if (codes.some((code) => code !== 0)) throw new Error(`clients ended with ${codes.join()}`)
      return started
        .flatMap(({ file }) => readFileSync(file, "utf8").split("\n").filter(Boolean))
        .map(parseOperation)
        .toSorted((a, b) => a.end - b.end)
    },
  }
}
