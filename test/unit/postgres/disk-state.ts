/** What `writable.test.ts` runs in a mount namespace of its own; prints what the probe says. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { troubleOf } from "#postgres/writable.ts"

const [directory = ""] = process.argv.slice(2)
const mount = (...words: readonly string[]): void => {
  const { exitCode } = Bun.spawnSync(["mount", ...words])
  if (exitCode !== 0) throw new Error(`mount ${words.join(" ")} ended with ${exitCode}`)
}
const said: (string | null)[] = []
mount("-t", "tmpfs", "-o", "size=64k", "stolon-test", directory)
said.push(await troubleOf(directory))
try {
  writeFileSync(join(directory, "fill"), new Uint8Array(1 << 20))
} catch {
  // full, as it should be
}
said.push(await troubleOf(directory))
mount("-o", "remount,ro", directory)
said.push(await troubleOf(directory))
console.log(JSON.stringify(said))
