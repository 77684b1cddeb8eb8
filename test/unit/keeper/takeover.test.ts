/**
 * Data directories as Go's keepers left them, under the store documents of the same moment: our
 * keeper takes each as it is, starts PostgreSQL once, and writes the same files but for a closed
 * list of lines. What it writes itself a Go keeper reads again.
 */
import { describe, expect, test } from "bun:test"
import { readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { desire } from "#keeper/desire.ts"
import { emptyMemory } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import { render } from "#keeper/render.ts"
import type { Settings } from "#keeper/settings.ts"
import { type ClusterData, decodeClusterData } from "#model/cluster.ts"
import { bootUUID } from "#model/ids.ts"
import type { Local } from "#model/local.ts"
import { placesBelow } from "#postgres/settings.ts"
import {
  decodeDBState,
  decodeKeeperState,
  encodeDBState,
  encodeKeeperState,
} from "#postgres/state.ts"
import { settings } from "./build.ts"
import { emptyMachine, observe } from "./model.ts"

const golden = join(import.meta.dir, "../../golden")
const disk = (...names: readonly string[]): string =>
  readFileSync(join(golden, "disk", ...names), "utf8")

/** The document of the moment, and lines that differ: ours first, then those we do without. */
interface Layout {
  readonly document: string
  readonly ours?: readonly string[]
  readonly theirs?: readonly string[]
}
/** D-49: room for the additional slots of the specification. */
const slots = {
  ours: ["max_replication_slots = '22'"],
  theirs: ["max_replication_slots = '20'"],
} as const
/** D-06: a crashed synchronous primary comes back through its keeper. */
const crash = "restart_after_crash = 'off'"
/** A user's value with a backslash arrives at PostgreSQL as it was typed. */
const quoted = String.raw`archive_command = 'cp "%p" /tmp/a\\b'`
const layouts: Readonly<Record<string, Layout>> = {
  master: { document: "clusterdata/09-master-standby-stable.json" },
  "master-custom": {
    document: "clusterdata/12-custom-slots-hba-params-converged.json",
    // D-47
    ours: [quoted, ...slots.ours],
    theirs: [quoted.replace("\\\\", "\\"), ...slots.theirs],
  },
  standby: { document: "clusterdata/09-master-standby-stable.json" },
  "sync-master": {
    document: "clusterdata/30-sync-one-standby.json",
    ours: [crash, ...slots.ours],
    theirs: slots.theirs,
  },
  "sync-master-two": {
    document: "clusterdata/33-sync-two-standbys.json",
    ours: [crash, ...slots.ours],
    theirs: slots.theirs,
  },
  "sync-standby": { document: "clusterdata/30-sync-one-standby.json", ...slots },
  "standby-cluster": { document: "standby-cluster/06.json" },
  "standby-cluster-promoted": { document: "standby-cluster-promote/04.json" },
  pitr: { document: "pitr/07.json" },
  existing: { document: "existing/06.json" },
}

/**
 * Lines of every file of ours: which configuration is loaded, whose timelines are there (W9), a
 * quick return to the primary, and
 * PostgreSQL's default timeline, whose coming and going would leave a restart pending.
 */
const everywhere =
  /^(stolon\.(revision|lineage)|wal_retrieve_retry_interval|recovery_target_timeline) = /

const lines = (text: string): readonly string[] =>
  text
    .split("\n")
    .filter((line) => line !== "" && !everywhere.test(line))
    .toSorted()
const without = (a: readonly string[], b: readonly string[]): readonly string[] =>
  a.filter((line) => !b.includes(line))

/** The flags that the Go keeper was started with. */
function flagsOf(name: string): Settings {
  const words = disk(name, "keeper.cmdline").trim().split("\n")
  const flag = (wanted: string): string => words[words.indexOf(`--${wanted}`) + 1] ?? ""
  const [listenAddress, port] = [flag("pg-listen-address"), flag("pg-port")]
  return {
    ...settings,
    uid: decodeKeeperState(disk(name, "keeperstate")).uid,
    listenAddress,
    port,
    advertiseAddress: listenAddress,
    advertisePort: port,
    superuser: { name: flag("pg-su-username"), method: "md5", password: flag("pg-su-password") },
    replication: {
      name: flag("pg-repl-username"),
      method: "md5",
      password: flag("pg-repl-password"),
    },
  }
}

/** The directory with PostgreSQL stopped, as our keeper finds it. */
function found(name: string): Local {
  const standby = disk(name, "signals.txt").includes("standby.signal")
  return {
    ...observe(emptyMachine),
    keeper: decodeKeeperState(disk(name, "keeperstate")),
    db: decodeDBState(disk(name, "dbstate")),
    data: {
      kind: "initialized",
      role: standby ? "standby" : "master",
      systemID: "7001",
      major: 15,
      control: null,
      newest: 1,
      history: [],
    },
    files: {
      conf: disk(name, "postgresql.conf"),
      hba: disk(name, "pg_hba.conf"),
      signal: standby ? "standby" : "none",
    },
  }
}

/** With the boot of `who` acknowledged: the leader's next write. */
function viewOf(document: string, who: Settings): ClusterData {
  const data = decodeClusterData(readFileSync(join(golden, "store", document), "utf8"))
  const keeper = data?.keepers.get(who.uid)
  if (data === null || data === undefined || keeper === undefined) throw new Error(document)
  const known = { ...keeper, status: { ...keeper.status, bootUUID: who.boot } }
  return { ...data, keepers: new Map([...data.keepers, [who.uid, known]]) }
}

describe("a Go keeper's directory", () => {
  for (const [name, { document, ours = [], theirs = [] }] of Object.entries(layouts)) {
    const who = flagsOf(name)
    const view = viewOf(document, who)
    test(`${name}: the same files but for named lines`, () => {
      const want = desire(view, { uid: who.uid, boot: who.boot, certificate: null })
      if (want.kind !== "run") throw new Error(want.why)
      const local = found(name)
      const signal = local.files?.signal ?? "none"
      const { files } = render({ local, want, settings: who }, "none", signal)
      const [mine, before] = [lines(files.conf), lines(disk(name, "postgresql.conf"))]
      expect({ ours: without(mine, before), theirs: without(before, mine) }).toEqual({
        ours: [...ours].toSorted(),
        theirs: [...theirs].toSorted(),
      })
      expect(files.hba).toBe(disk(name, "pg_hba.conf"))
    })
    test(`${name}: is started once, with its data as it is`, () => {
      const { steps, blocked, memory } = plan(
        { view, local: found(name), settings: who, others: [] },
        emptyMemory,
        millis(1_000),
      )
      expect(blocked).toBeNull()
      expect(memory.path).toBe("undecided")
      const does = steps.map(({ kind }) => kind)
      expect(does.filter((kind) => kind === "start")).toHaveLength(1)
      expect(does.slice(0, 2)).toEqual(["write-config", "start"])
    })
    test(`${name}: nothing is done while the leader has not seen the new keeper (G6)`, () => {
      const unseen = { ...who, boot: bootUUID("another") }
      const { steps } = plan({ view, local: found(name), settings: unseen }, emptyMemory, millis(0))
      expect(steps).toEqual([])
    })
  }

  test("every state file that Go wrote is written again byte for byte", () => {
    let count = 0
    for (const name of readdirSync(join(golden, "disk")).toSorted()) {
      if (name.endsWith(".md")) continue
      for (const file of readdirSync(join(golden, "disk", name))) {
        const text = (): string => disk(name, file)
        if (file.startsWith("keeperstate"))
          expect(encodeKeeperState(decodeKeeperState(text()))).toBe(text())
        else if (/^dbstate|^\d\d\.json/.test(file))
          expect(encodeDBState(decodeDBState(text()))).toBe(text())
        else continue
        count++
      }
    }
    expect(count).toBe(33)
  })

  test("a Go keeper finds its own files under their names, and none of ours in their way", () => {
    const go = ["dbstate", "keeperstate", "lock", "postgres"]
    const { root: _, ...places } = placesBelow("/d")
    const mine = Object.values(places).map((path) => path.slice("/d/".length))
    expect(mine.filter((name) => go.includes(name)).toSorted()).toEqual([
      "dbstate",
      "keeperstate",
      "postgres",
    ])
    // an atomic write of Go's is a name with digits behind it
    for (const name of mine)
      if (!go.includes(name)) expect(name).not.toMatch(/^(dbstate|keeperstate)\d/)
  })
})
