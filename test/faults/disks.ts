/**
 * Faults of disks: full for everybody who writes there, slow or hung for PostgreSQL.
 */
import { rmSync, statfsSync } from "node:fs"
import { join } from "node:path"
import type { Machine } from "./machine.ts"
import {
  type Nemesis,
  type Strike,
  base,
  failover,
  longMs,
  on,
  standbyLost,
  standbyOf,
} from "./nemesis.ts"
import type { Disk } from "./trouble.ts"

const disk = (state: Disk, machine: Machine): Strike => {
  machine.trouble.keeper.disk(state)
  return on(machine, longMs, () => machine.trouble.keeper.disk({ kind: "well" }))
}

/** Takes all room on a node's disk, for everybody who writes there. */
function fill(machine: Machine): Strike {
  const path = join(machine.dataDir, "filler")
  // the servers go on writing between the look and the call
  for (let tries = 10; tries > 0; tries--) {
    const { bavail, bsize } = statfsSync(machine.dataDir)
    const { exitCode } = Bun.spawnSync(["fallocate", "-l", `${bavail * bsize}`, path])
    if (exitCode === 0) return on(machine, longMs, () => rmSync(path))
  }
  throw new Error(`cannot fill ${machine.dataDir}`)
}

export const disks: readonly Nemesis[] = [
  {
    ...base,
    name: "full disk of primary",
    loses: "unsent",
    bound: (row) => failover() + longMs / 1000 + row.synchronousStandbys,
    why: "PostgreSQL stops by itself when it needs room, at latest it goes on when there is some",
    strike: async ({ primary }) => fill(primary),
  },
  {
    ...base,
    name: "full disk of standby",
    bound: standbyLost,
    why: "its PostgreSQL fails as any standby",
    strike: async (scene) => fill(standbyOf(scene)),
  },
  {
    ...base,
    name: "slow disk of primary",
    loses: "unsent",
    bound: () => 6,
    why: "commits take longer; no reason to fail over",
    strike: async ({ primary }) => disk({ kind: "slow", fsyncMs: 100, writeMs: 5 }, primary),
  },
  {
    ...base,
    name: "slow disk of standby",
    bound: () => 6,
    why: "its confirmations take longer",
    strike: async (scene) => disk({ kind: "slow", fsyncMs: 100, writeMs: 5 }, standbyOf(scene)),
  },
  {
    ...base,
    name: "hung disk of primary",
    loses: "unsent",
    bound: () => longMs / 1000 + 5,
    why: "a disk that answers nothing is not judged, it is waited for",
    strike: async ({ primary }) => disk({ kind: "hung" }, primary),
  },
  {
    ...base,
    name: "hung disk of standby",
    bound: ({ synchronousStandbys }) => (synchronousStandbys > 0 ? longMs / 1000 + 5 : 3),
    why: "a standby that confirms nothing still streams: it looks well to everybody",
    strike: async (scene) => disk({ kind: "hung" }, standbyOf(scene)),
  },
]
