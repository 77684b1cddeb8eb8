/**
 * How a cluster begins: the first primary, its standbys, and in synchronous mode the gate that
 * waits until commits wait.
 */
import { expect, test } from "bun:test"
import { story } from "./story.ts"

test("a new cluster initialises one keeper, opens the gate and copies the other", () => {
  using s = story()
  s.rest()
  expect(s.told()).toEqual([
    "s1 leader.elected",
    "s1 cluster.initializing",
    "first step initdb",
    "s1 cluster.initialized",
    "s1 gate.opened",
    "s1 db.added",
    "other step clone",
    "s1 db.failed",
  ])
})

test("a new synchronous cluster proves that commits wait before it opens the gate", () => {
  using s = story({ spec: { synchronousReplication: true } })
  s.rest()
  const told = s.told()
  const order = [
    "s1 cluster.initialized",
    "first step prove-sync",
    "s1 gate.opened",
    "s1 sync.confirmed",
  ]
  expect(told.filter((line) => order.includes(line))).toEqual([
    "s1 cluster.initialized",
    "first step prove-sync", // the name that never answers: nobody else is there yet
    "s1 gate.opened",
    "first step prove-sync", // the copied standby
    "s1 sync.confirmed",
  ])
})
