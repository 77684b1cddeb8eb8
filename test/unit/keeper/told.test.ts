/** What `keeper --dry-run` prints of a plan. */
import { expect, test } from "bun:test"
import { fieldsOf } from "#agent/keeper-work.ts"
import { millis } from "#base/brand.ts"
import { emptyMemory } from "#keeper/memory.ts"
import { plan } from "#keeper/plan.ts"
import { planText } from "#keeper/told.ts"
import { dbUID } from "#model/ids.ts"
import { db, followsOther, other, settings, view } from "./build.ts"
import { type Machine, dir, emptyMachine, observe } from "./model.ts"

const told = (machine: Machine, seen: ReturnType<typeof view> | null): string =>
  planText(
    plan({ view: seen, local: observe(machine), settings }, emptyMemory, millis(1_000)),
    fieldsOf,
  )

test("planText() lists the steps of a copy in order, and marks what removes something", () => {
  const seen = view({
    master: "db2",
    dbs: [
      db("db3", { initMode: "resync", ...followsOther, freshCopy: "discard" }),
      other({ followers: [dbUID("db3")] }),
    ],
  })
  const text = told({ ...emptyMachine, data: dir("old") }, seen)
  expect(text).toStartWith("wanted: DB db3 runs as standby of DB db2, generation 1\n1. save-db ")
  expect(text).toContain(
    '. discard-data reason="an operator needs its space for the fresh copy" (removes something)\n',
  )
  expect(text).toContain('. clone from="db2" host="10.0.0.12" port="5433"\n')
})

test("planText() says what is waited for and what helps, and prints no password", () => {
  const lost = told(emptyMachine, view({ dbs: [db("db1"), other()] }))
  expect(lost).toContain("\nwaiting: ")
  expect(lost).toContain("\nwhat helps: ")
  expect(told(emptyMachine, null)).toBe(
    "wanted: PostgreSQL is left as it is: there is no cluster data\nnothing to do\n",
  )
  const all = told(
    { ...emptyMachine, data: dir("old") },
    view({ dbs: [db("db1", { initMode: "new" })] }),
  )
  expect(all).not.toMatch(/superpw|replpw/)
})
