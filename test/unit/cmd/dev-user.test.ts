/**
 * Whom root becomes, and which directory stands in the way.
 */
import { afterEach, expect, test } from "bun:test"
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { closedParent, ordinaryUser } from "#cmd/dev-user.ts"

const passwd = [
  "root:x:0:0:root:/root:/bin/bash",
  "postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash",
  "ann:x:1000:1000::/home/ann:/bin/sh",
].join("\n")
const group = ["root:x:0:", "ssl-cert:x:103:postgres,ann", "postgres:x:104:", "ann:x:1000:"].join(
  "\n",
)

test("ordinaryUser() takes postgres with all its groups", () => {
  expect(ordinaryUser(passwd, group, { SUDO_USER: "ann" })).toEqual({
    name: "postgres",
    uid: 101,
    gid: 104,
    groups: [104, 103],
  })
})

test("ordinaryUser() takes who called sudo where there is no postgres", () => {
  const without = passwd.replace(/^postgres.*\n/m, "")
  expect(ordinaryUser(without, group, { SUDO_USER: "ann" })?.uid).toBe(1000)
})

test("ordinaryUser() finds nobody rather than root or a stranger", () => {
  const without = passwd.replace(/^postgres.*\n/m, "")
  expect(ordinaryUser(without, group, {})).toBeNull()
  expect(ordinaryUser(without, group, { SUDO_USER: "root" })).toBeNull()
  expect(ordinaryUser(without, group, { SUDO_USER: "bob" })).toBeNull()
})

const made: string[] = []
afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
})

test("closedParent() names the first thing on the way that is not there or may not be entered", () => {
  const directory = mkdtempSync(join(tmpdir(), "stolon-dev-user-"))
  made.push(directory)
  mkdirSync(join(directory, "a", "b"), { recursive: true })
  expect(closedParent(join(directory, "a", "b"))).toBeNull()
  expect(closedParent(join(directory, "a", "c", "d"))).toBe(join(directory, "a", "c"))
  if (process.getuid?.() === 0) return // root may enter everything
  chmodSync(join(directory, "a"), 0o600)
  expect(closedParent(join(directory, "a", "b"))).toBe(join(directory, "a"))
  chmodSync(join(directory, "a"), 0o700)
})
