/**
 * The two small C programs of the fault tests, compiled when they are needed: Bun can neither
 * switch frames between TAP devices nor live inside PostgreSQL. Nothing but a C compiler and the
 * kernel's headers is asked for.
 */
import { join } from "node:path"

const sources = join(import.meta.dir, "native")

export interface Native {
  /** The switch between the nodes. */
  readonly switch: string
  /** For LD_PRELOAD: disks and clocks that go wrong. */
  readonly preload: string
}

/** Compiles into `directory`; throws with the compiler's words. */
export function compileNative(directory: string): Native {
  const made = { switch: join(directory, "switch"), preload: join(directory, "preload.so") }
  compile(["switch.c", "-o", made.switch])
  compile(["preload.c", "-shared", "-fPIC", "-ldl", "-o", made.preload])
  return made
}

function compile(words: readonly string[]): void {
  if (Bun.which("cc") === null)
    throw new Error("the fault tests need a C compiler: scripts/install.sh gcc libc6-dev")
  const { exitCode, stderr } = Bun.spawnSync(["cc", "-O2", ...words], { cwd: sources })
  if (exitCode !== 0) throw new Error(`cc ${words.join(" ")}: ${stderr.toString()}`)
}
