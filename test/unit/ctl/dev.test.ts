/** What `stolon dev` shows and tells. */
import { describe, expect, test } from "bun:test"
import { news } from "#ctl/dev-news.ts"
import { type Scene, screen } from "#ctl/dev-screen.ts"
import { type Facts, type Member, facts } from "#ctl/status.ts"
import { keeperUID, sentinelUID } from "#model/ids.ts"
import { noInfos, threeKeepers } from "./golden.ts"

const healthy: Facts = facts("dev", {
  data: threeKeepers(),
  infos: noInfos,
  leader: sentinelUID("s1"),
})
const changed = (keeper: string, change: Partial<Member>): Facts => ({
  ...healthy,
  members: healthy.members.map((member) =>
    member.keeper === keeper ? { ...member, ...change } : member,
  ),
})
const lines = (before: Facts | null, after: Facts): readonly string[] =>
  news(before, after).map(({ who, text }) => `${who}: ${text}`)

describe("news()", () => {
  test("tells everything at the first look", () => {
    expect(lines(null, healthy)).toMatchInlineSnapshot(`
      [
        "cluster: normal",
        "cluster: sentinel s1 leads",
        "pg1: primary, running, timeline 2",
        "pg2: standby, running, timeline 2",
        "pg3: standby, running, timeline 2",
        "cluster: open to clients, primary on pg1",
      ]
    `)
  })
  test("tells nothing when only positions and percentages move", () => {
    const before = changed("pg2", { work: "clone 41%" })
    const after = changed("pg2", { work: "clone 42%", lagBytes: 7n })
    expect(lines(healthy, healthy)).toEqual([])
    expect(lines(before, after)).toEqual([])
  })
  test("tells a member's change, its leaving, and another primary", () => {
    expect(lines(healthy, changed("pg2", { work: "clone 41%" }))).toEqual(["pg2: standby, clone"])
    const without: Facts = { ...healthy, members: healthy.members.slice(0, 2) }
    expect(lines(healthy, without)).toEqual(["pg3: no longer part of the cluster"])
    const deposed: Facts = {
      ...healthy,
      primary: healthy.primary === null ? null : { ...healthy.primary, revoked: true },
    }
    expect(lines(healthy, deposed)).toEqual(["cluster: the primary on pg1 is deposed"])
  })
})

const scene: Scene = {
  facts: healthy,
  keepers: new Map([[keeperUID("pg1"), { keeper: 11, guardian: 12, postgres: 13 }]]),
  parts: [
    { name: "sentinel1", pid: 21, note: "" },
    { name: "proxy", pid: null, note: "127.0.0.1:5432" },
  ],
  ready: true,
  connection: "postgresql://x",
  storeFlags: "--cluster-name dev",
  program: "/opt/stolon",
  directory: "/srv/dev",
}

describe("screen()", () => {
  test("shows members, parts, and commands with the pids of the moment", () => {
    expect(screen(scene).join("\n")).toMatchInlineSnapshot(`
      "Cluster dev: asynchronous replication, clients can write

        KEEPER  ROLE     STATE    TL  POSITION   LAG      ADDRESS         PG PID  KEEPER PID
        pg1     primary  running  2   0/3000060  -        10.0.0.11:5432  13      11
        pg2     standby  running  2   0/3000060  0 B      10.0.0.12:5432  -       -
        pg3     standby  running  2   0/2000060  16.0 MB  10.0.0.13:5432  -       -

        sentinel1  21
        proxy      -   127.0.0.1:5432

      Connect   psql 'postgresql://x'
      Break it  kill -9 13                    the primary's PostgreSQL dies: it starts again in place
                kill -9 11 12 13              its whole node dies: a standby takes over, the node is back after 8 s
                kill -STOP 11                 its keeper hangs: PostgreSQL is stopped, a standby takes over (kill -CONT 11)
      Look      /opt/stolon ctl status --cluster-name dev
      Switch    /opt/stolon ctl switchover --cluster-name dev
      Files     /srv/dev
      Ctrl-C stops everything; the same command goes on from there"
    `)
  })
  test("shows nothing to kill while a pid of the primary is unknown", () => {
    const keepers = new Map([[keeperUID("pg1"), { keeper: 11, guardian: 12, postgres: null }]])
    expect(screen({ ...scene, keepers }).join("\n")).not.toContain("kill")
  })
})
