/** How `ctl explain` lays out what the leader thinks. */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { type LSN, parseLsn } from "#base/lsn.ts"
import type { Explanation } from "#model/explain.ts"
import { type Epoch, type Nonce, infoUID, sentinelUID } from "#model/ids.ts"
import { explainJson, explainText } from "#ctl/explain-text.ts"
import { facts } from "#ctl/status.ts"
import { db, keeper, noInfos, threeKeepers } from "./golden.ts"

const s1 = sentinelUID("s1")
const known = facts("prod", { data: threeKeepers(), infos: noInfos, leader: s1 })
const at = (text: string): LSN => {
  const lsn = parseLsn(text)
  if (lsn === null) throw new Error(text)
  return lsn
}
const position = at("0/3000060")

const whole: Explanation = {
  leader: s1,
  detection: "evidence",
  primary: {
    keeper: keeper("pg1"),
    db: db("db1"),
    epoch: "e1" as Epoch,
    state: "serving",
    fault: null,
    unready: [],
    elected: "lease",
  },
  candidates: [
    {
      keeper: keeper("pg2"),
      db: db("db2"),
      why: null,
      position,
      electable: true,
      detached: false,
      promisedTo: keeper("pg1"),
    },
    {
      keeper: keeper("pg3"),
      db: db("db3"),
      why: "it lags 16777216 bytes, more than maxStandbyLag",
      position: at("0/2000060"),
      electable: false,
      detached: false,
      promisedTo: null,
    },
  ],
  fencing: { wanted: true, lease: millis(2_500), dropped: false, certificate: null },
  electable: { kind: "on", word: "w1" as Nonce, keepers: [keeper("pg2")], acknowledged: true },
  evidence: [],
  switchover: null,
  waiting: [],
}

describe("explainText()", () => {
  test("shows who may be the primary and why not, fencing, and nothing to wait for", () => {
    expect(explainText({ ...known, waiting: [] }, whole)).toMatchInlineSnapshot(`
      "Cluster prod: pg1 is the primary and clients are led to it; the one before it ended by its lease
      Leader: sentinel s1; a dead primary is noticed by evidence of peers, and by silence

      Who may be the primary
        KEEPER  STATE    POSITION   LAG      MAY BE PRIMARY
        pg1     running  0/3000060  -        it is
        pg2     running  0/3000060  0 B      yes; has promised pg1 to promote nobody
        pg3     running  0/2000060  16.0 MB  no: it lags 16777216 bytes, more than maxStandbyLag; not in the electable set

      Fencing
        - on, the lease is 2.5 s
        - electable set: pg2; with their promises the primary goes on without the store

      What speaks against the primary
        nothing

      Waiting for
        nothing
      "
    `)
  })

  test("shows a deposed primary, who saw what, and what is waited for, without telling it twice", () => {
    const doors = { keeper: keeper("pg1"), infoUID: infoUID("i"), peer: "refused" } as const
    const it: Explanation = {
      ...whole,
      detection: "silence",
      primary: whole.primary && {
        ...whole.primary,
        state: "revoked",
        elected: "",
        fault: "its keeper has been silent for more than 3000 ms",
      },
      fencing: {
        ...whole.fencing,
        wanted: null,
        dropped: true,
        certificate: { finalLSN: position, reason: "shut down" },
      },
      electable: { kind: "off", why: "keeper pg3 has no endpoint" },
      evidence: [
        { kind: "doors", sentinel: s1, found: { ...doors, postgres: "refused" }, current: true },
        { kind: "doors", sentinel: s1, found: { ...doors, postgres: "" }, current: false },
        { kind: "keeper", keeper: keeper("pg1"), says: "stopping" },
        { kind: "certificate", keeper: keeper("pg1"), reason: "shut down" },
        { kind: "stream", keeper: keeper("pg2") },
      ],
      waiting: ["the old primary's lease to end", "the same"],
    }
    const waiting = [{ code: "fencing", text: "the same" }] as const
    expect(explainText({ ...known, waiting }, it)).toMatchInlineSnapshot(`
      "Cluster prod: pg1 is deposed, and its end is awaited
      Leader: sentinel s1; a dead primary is noticed by silence alone

      Who may be the primary
        KEEPER  STATE    POSITION   LAG      MAY BE PRIMARY
        pg1     running  0/3000060  -        deposed
        pg2     running  0/3000060  0 B      yes; has promised pg1 to promote nobody
        pg3     running  0/2000060  16.0 MB  no: it lags 16777216 bytes, more than maxStandbyLag; not in the electable set

      Fencing
        - on, the lease is 2.5 s; the specification has lost the setting (a Go sentinel dropped it), keepers keep to it, and our leader restores it
        - pg1 has certified its end (shut down), its log ends at 0/3000060
        - electable set: none (keeper pg3 has no endpoint), so the primary stops when it cannot reach the store

      What speaks against the primary
        - its keeper has been silent for more than 3000 ms
        - sentinel s1 found keeper pg1: refused, its PostgreSQL: refused
        - sentinel s1 found keeper pg1: refused, its PostgreSQL: not tried (void: the keeper has spoken since)
        - keeper pg1 says that its PostgreSQL is stopping
        - keeper pg1 has certified that its PostgreSQL ended (shut down)
        - the standby on pg2 has lost its WAL stream

      Waiting for
        - the old primary's lease to end
        - the same
      "
    `)
  })

  test("says what a person has to do when nobody can take over", () => {
    const { primary } = whole
    const ill = { ...whole, primary: primary && { ...primary, fault: "its keeper is silent" } }
    const nobody = whole.candidates.map((one) => ({ ...one, why: "its keeper is silent" }))
    expect(explainText(known, ill)).not.toContain("somebody to bring")
    expect(explainText(known, { ...ill, candidates: nobody })).toContain(
      "somebody to bring keeper pg1 back, or a standby\n",
    )
    expect(explainText({ ...known, synchronous: true }, { ...ill, candidates: nobody })).toContain(
      `giving the last commits up: stolon ctl update --patch '{"synchronousReplication":false}'`,
    )
  })

  test("says how to switch fencing on, and that nobody decides without a leader", () => {
    const fencing = { wanted: null, lease: null, dropped: false, certificate: null }
    const text = explainText(known, { ...whole, leader: null, fencing })
    expect(text).toContain("Leader: none, so nothing is decided")
    expect(text).toContain(
      "to switch it on: stolon ctl configure selfFencing=true failureDetection=evidence",
    )
  })
})

test("explainJson() has the same as fields", () => {
  const told = JSON.parse(explainJson({ ...known, waiting: [] }, whole))
  expect(told).toMatchObject({
    leader: "s1",
    primary: { keeper: "pg1", state: "serving", fencedBy: "lease" },
    candidates: [
      { keeper: "pg2", mayBePrimary: true, position: "0/3000060", promisedTo: "pg1" },
      { keeper: "pg3", mayBePrimary: false },
    ],
    fencing: { wanted: true, leaseSeconds: 2.5 },
    electable: { keepers: ["pg2"], acknowledged: true },
    evidence: [],
    waiting: [],
  })
})
