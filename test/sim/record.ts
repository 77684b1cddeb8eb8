/**
 * The record of seeds that ran clean: a file of JSON lines, each a range of seeds under one hash of
 * the sources that decide. It adds sittings up, and starts again by itself when a brain changes.
 *
 * A range is written only when every seed in it kept every promise, and never says more than was
 * run: what an interrupted sitting did not write down did not happen.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import * as v from "valibot"
import { byText } from "#base/order.ts"

const root = resolve(import.meta.dir, "../..")

/** What decides: agents and their brains, and what plays the world around them. */
const deciding = ["sentinel", "keeper", "proxy", "guardian", "agent", "model", "base"]
const folders = [...deciding.map((name) => `lib/${name}`), "test/sim"]

/** Changes with every source that may change a run. */
export function brainHash(): string {
  const hash = new Bun.CryptoHasher("sha256")
  for (const folder of folders) {
    const files = [...new Bun.Glob("**/*.ts").scanSync(join(root, folder))]
    for (const file of files.filter((name) => !name.endsWith(".test.ts")).toSorted(byText))
      hash.update(`${folder}/${file}\0${readFileSync(join(root, folder, file), "utf8")}\0`)
  }
  return hash.digest("hex").slice(0, 16)
}

const Range = v.object({
  brain: v.string(),
  /** First and last seed. */
  from: v.number(),
  to: v.number(),
  commit: v.string(),
  dirty: v.boolean(),
  time: v.string(),
})
export type Range = v.InferOutput<typeof Range>

export interface Total {
  readonly seeds: number
  /** The first seed that this brain was not asked yet. */
  readonly next: number
}

/** What the record says about one brain. */
export function totalOf(file: string, brain: string): Total {
  const ranges = read(file).filter((range) => range.brain === brain)
  const seeds = ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0)
  return { seeds, next: 1 + ranges.reduce((last, { to }) => Math.max(last, to), 0) }
}

function read(file: string): readonly Range[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, "utf8").split("\n")
  return lines.filter((line) => line !== "").map((line) => v.parse(Range, JSON.parse(line)))
}

/** Adds a range; an empty one is none, and one that goes on with the last one is part of it. */
export function note(file: string, range: Pick<Range, "brain" | "from" | "to">): void {
  if (range.to < range.from) return
  mkdirSync(dirname(resolve(file)), { recursive: true })
  // the record itself may be in the tree
  const dirty = git("status", "--porcelain", "--", "lib", "test") !== ""
  const stamp = { commit: git("rev-parse", "HEAD"), dirty }
  const before = read(file)
  const last = before.at(-1)
  const goesOn =
    last?.brain === range.brain &&
    last.commit === stamp.commit &&
    last.dirty === dirty &&
    last.to + 1 === range.from
  const from = goesOn ? last.from : range.from
  const line: Range = { ...range, from, ...stamp, time: new Date().toISOString() }
  const lines = [...(goesOn ? before.slice(0, -1) : before), line]
  const half = `${file}.new` // an interruption leaves the old record or the new one
  writeFileSync(half, lines.map((each) => `${JSON.stringify(each)}\n`).join(""))
  renameSync(half, file)
}

const git = (...words: readonly string[]): string =>
  Bun.spawnSync(["git", "-C", root, ...words], { stderr: "ignore" })
    .stdout.toString()
    .trim()
