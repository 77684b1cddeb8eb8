/**
 * Two promotions to one timeline number from one place (W9): the first of them is lost before
 * whoever becomes the second heard of it. A standby of the first must not pass for one of the
 * second, for which PostgreSQL would take it.
 */
import { expect, test } from "bun:test"
import { type Story, story } from "./story.ts"

const timelineOf = (s: Story, name: string): number =>
  s.sim.hosts.get(name)?.disk.data?.wal.timeline ?? 0

/** What the DB of a keeper says of its timelines, in the view. */
const lineageOf = (s: Story, name: string): string =>
  [...s.view().dbs.values()].find(({ spec }) => spec.keeperUID === name)?.status.lineage ?? ""

test("W9 a standby of a lost timeline is copied afresh when another is begun with the same number", () => {
  using s = story({ keepers: 4 })
  s.rest()
  const old = s.primary()
  const [second = "", ...others] = s.standbys()
  // the second hears nothing of the others, but for the store
  s.cut(second, old, ...others)
  s.run(2)
  s.powerOff(old)
  s.until("one of the others is primary", () => others.includes(s.primary()))
  const first = s.primary()
  const between = others.find((name) => name !== first) ?? ""
  s.until("its timeline 2 has a standby", () => timelineOf(s, between) === 2)
  const lost = s.dbOf(first)
  s.run(2)
  expect(lineageOf(s, between)).toBe(`2:${lost}`)
  expect(timelineOf(s, second)).toBe(1)
  for (const name of [first, between]) s.powerOff(name)
  s.mend()
  s.until("the second is primary", () => s.primary() === second)
  s.until("it began a timeline 2 as well", () => timelineOf(s, second) === 2)
  const held = s.sim.hosts.get(between)?.disk.data?.wal
  s.told()
  for (const name of [between, first, old]) s.powerOn(name)
  s.rest()
  expect(s.standbys().toSorted()).toEqual([old, first, between].toSorted())
  for (const name of s.standbys()) expect(lineageOf(s, name)).toBe(`2:${s.dbOf(second)}`)
  // neither followed nor rewound
  expect(s.sim.hosts.get(between)?.disk.data?.wal).not.toBe(held)
  expect(s.told().filter((line) => line === "other step rewind")).toEqual([])
})
