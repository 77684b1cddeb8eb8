/**
 * How many conformance tests of a store pass, from bun's own report of them.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface Conformance {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const suite = join(import.meta.dir, "../../conformance")

/** Runs the files whose names begin with `prefix`. */
export async function conformance(prefix: string): Promise<Conformance> {
  const files = readdirSync(suite).filter(
    (name) => name.startsWith(prefix) && name.endsWith(".test.ts"),
  )
  const directory = mkdtempSync(join(tmpdir(), "stolon-conformance-"))
  try {
    const report = join(directory, "report.xml")
    const reporting = ["--reporter=junit", `--reporter-outfile=${report}`]
    const paths = files.map((name) => join(suite, name))
    const argv = [process.execPath, "test", "--timeout=120000", ...reporting, ...paths]
    const child = Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"] })
    await child.exited
    return countsOf(readFileSync(report, "utf8"))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** The sums that the report begins with. */
export function countsOf(report: string): Conformance {
  const head = /<testsuites [^>]*>/.exec(report)?.[0] ?? ""
  const number = (name: string): number => {
    const found = new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1]
    if (found === undefined) throw new Error(`the report says nothing of ${name}: ${head}`)
    return Number(found)
  }
  const [tests, failed, skipped] = [number("tests"), number("failures"), number("skipped")]
  return { passed: tests - failed - skipped, failed, skipped }
}
