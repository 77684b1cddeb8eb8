/**
 * How long `stolon version` takes beside an empty program that was compiled the same way, run in
 * turns. The promise is twice the empty program at most: commands must go on being loaded only when
 * they are called.
 *
 *   bun test/bench/startup.ts [RUNS]
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "../../scripts/build.ts"

const ratioMax = 2
const runs = Number(process.argv[2] ?? 60)
const directory = mkdtempSync(join(tmpdir(), "stolon-startup-"))

function milliseconds(command: readonly string[]): number {
  const start = Bun.nanoseconds()
  const { exitCode } = Bun.spawnSync([...command], { cwd: directory, stdout: "ignore" })
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}`)
  return (Bun.nanoseconds() - start) / 1e6
}

const middle = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

try {
  const entry = join(directory, "empty.ts")
  writeFileSync(entry, "export {}\n")
  const empty = join(directory, "empty")
  const stolon = join(directory, "stolon")
  await build({ outfile: empty, entry })
  await build({ outfile: stolon })
  const rows = [
    { name: "empty", command: [empty], times: [] as number[] },
    { name: "stolon version", command: [stolon, "version"], times: [] as number[] },
    { name: "stolon ctl --help", command: [stolon, "ctl", "--help"], times: [] as number[] },
  ] as const
  for (const { command } of rows) milliseconds(command) // into the page cache
  for (let i = 0; i < runs; i++)
    for (const { command, times } of rows) times.push(milliseconds(command))
  for (const { name, times } of rows)
    console.log(
      `${name.padEnd(20)} ${middle(times).toFixed(1)} ms (best ${Math.min(...times).toFixed(1)})`,
    )
  const ratio = middle(rows[1].times) / middle(rows[0].times)
  console.log(
    `stolon version is ${ratio.toFixed(2)} times the empty program, at most ${ratioMax} is promised`,
  )
  process.exitCode = ratio <= ratioMax ? 0 : 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
