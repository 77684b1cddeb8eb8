/** The record never says more than was run, and never adds up what different brains have shown. */
import { expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { brainHash, note, totalOf } from "./record.ts"

test("note() and totalOf() add sittings up, each brain for itself", () => {
  const folder = mkdtempSync(join(tmpdir(), "stolon-record-"))
  try {
    const file = join(folder, "deeper", "record.jsonl")
    expect(totalOf(file, "a")).toEqual({ seeds: 0, next: 1 })
    note(file, { brain: "a", from: 1, to: 500 })
    note(file, { brain: "b", from: 1, to: 20 })
    note(file, { brain: "a", from: 501, to: 500 }) // nothing was run
    note(file, { brain: "a", from: 501, to: 700 })
    expect(totalOf(file, "a")).toEqual({ seeds: 700, next: 701 })
    expect(totalOf(file, "b")).toEqual({ seeds: 20, next: 21 })
    expect(totalOf(file, "c")).toEqual({ seeds: 0, next: 1 })
    // what goes on is one line, and what does not is another
    note(file, { brain: "a", from: 701, to: 900 })
    note(file, { brain: "a", from: 1_001, to: 1_100 })
    expect(totalOf(file, "a")).toEqual({ seeds: 1_000, next: 1_101 })
    const lines = readFileSync(file, "utf8").trimEnd().split("\n")
    expect(lines.map((line) => JSON.parse(line).to)).toEqual([500, 20, 900, 1_100])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("brainHash() is the same for the same sources", () => {
  expect(brainHash()).toMatch(/^[0-9a-f]{16}$/)
  expect(brainHash()).toBe(brainHash())
})
