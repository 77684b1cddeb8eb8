/** Text as YAML means itself again, also for readers of other versions of YAML. */
import { expect, test } from "bun:test"
import { documents, yaml } from "#ctl/yaml.ts"

const odd = [
  "",
  " ",
  "on",
  "Off",
  "y",
  "NO",
  "null",
  "~",
  "true",
  "1",
  "1e3",
  "0755",
  "0o17",
  "12:30",
  "1.20",
  "2026-01-01",
  "- x",
  "a: b",
  "a #b",
  "#",
  "*",
  "&a",
  "!x",
  "%d",
  "@x",
  "`",
  "{}",
  "[",
  "]",
  ",",
  "?",
  ".inf",
  "---",
  "...",
  "a\nb",
  'say "x"',
  "it's",
  "back\\slash",
  "ä\u0000",
  "$(POD_IP)",
  "/healthz",
  "500m",
  ":8080",
  "=",
  "<<",
  "policy/v1",
  "rbac.authorization.k8s.io/v1",
  "\t",
  "a ",
  " a",
  "x:",
  "x: ",
  "|",
  ">",
]

test("yaml() gives every odd text back as that text, as value, as key and in a list", () => {
  for (const text of odd) {
    expect(Bun.YAML.parse(yaml({ value: text }))).toEqual({ value: text })
    expect(Bun.YAML.parse(yaml({ list: [text, { inner: text }] }))).toEqual({
      list: [text, { inner: text }],
    })
    if (text !== "") expect(Bun.YAML.parse(yaml({ [text]: 1 }))).toEqual({ [text]: 1 })
  }
  expect(Bun.YAML.parse(yaml({ all: odd }))).toEqual({ all: odd })
})

test("yaml() quotes what YAML 1.1 takes for a truth value, a number, a time or a date", () => {
  for (const text of ["on", "y", "No", "12:30", "2026-01-01", "0755", "1e3", "1.20", "~", ".inf"])
    expect(yaml({ value: text })).toBe(`value: ${JSON.stringify(text)}\n`)
})

test("yaml() keeps the order of keys, and numbers and truth values as they are", () => {
  expect(yaml({ b: 1, a: true, c: {}, d: [], e: [{ x: 1, w: [["z"]] }] })).toBe(
    "b: 1\na: true\nc: {}\nd: []\ne:\n  - x: 1\n    w:\n      - [z]\n",
  )
})

test("documents() separates documents and puts comments above them", () => {
  const text = documents([
    { about: ["first", "", "line"], value: { a: 1 } },
    { about: [], value: { b: 2 } },
  ])
  expect(text).toBe("# first\n#\n# line\na: 1\n---\nb: 2\n")
  expect(Bun.YAML.parse(text)).toEqual([{ a: 1 }, { b: 2 }])
})
