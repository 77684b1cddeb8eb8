/** What PostgreSQL's own words about a configuration are taken for. */
import { expect, test } from "bun:test"
import { refusals } from "#postgres/fitness.ts"

const text = "max_connections = '4e9'\nno_such = '1'\nport = '5432'\nwork_mem = 'much'\n"
const log = (message: string): string => `2026-11-22 18:48:09.452 GMT [1174] LOG:  ${message}`

test("D-48 refusals() takes an unknown name for unfit whatever its value", () => {
  const errors = [
    log('skipping missing configuration file "/tmp/postgresql.auto.conf"'),
    log('unrecognized configuration parameter "no_such" in file "/tmp/c.conf" line 2'),
    '2026-11-22 18:48:09.452 GMT [1174] FATAL:  configuration file "/tmp/c.conf" contains errors',
  ].join("\n")
  expect(refusals(errors, text)).toEqual([
    { name: "no_such", line: null, why: "PostgreSQL does not know it" },
  ])
})

test("refusals() takes a wrong value for unfit together with its line", () => {
  const errors = [
    log('invalid value for parameter "work_mem": "much"'),
    log('4000000000 is outside the valid range for parameter "max_connections" (1 .. 262143)'),
  ].join("\n")
  expect(refusals(errors, text)).toEqual([
    {
      name: "work_mem",
      line: "work_mem = 'much'",
      why: 'invalid value for parameter "work_mem": "much"',
    },
    {
      name: "max_connections",
      line: "max_connections = '4e9'",
      why: '4000000000 is outside the valid range for parameter "max_connections" (1 .. 262143)',
    },
  ])
})

test("refusals() finds nothing in what does not speak of the file's parameters", () => {
  expect(refusals(log('the parameter "other" is odd'), text)).toEqual([])
  expect(refusals("5432\n", text)).toEqual([])
})
