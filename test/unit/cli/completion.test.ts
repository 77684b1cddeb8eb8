/** The scripts of `stolon completion`, run by the shells they are for. */
import { describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Shell, completion } from "#cli/completion.ts"

/** What a shell prints that is given `commands`, the script being in the file `$1`. */
function shellSays(shell: Shell, commands: string): readonly string[] {
  const dir = mkdtempSync(join(tmpdir(), "stolon-completion-"))
  try {
    const file = join(dir, "script")
    writeFileSync(file, completion(shell))
    const none = { bash: ["--norc", "--noprofile"], zsh: ["-f"], fish: ["--no-config"] }[shell]
    const argv = [shell, ...none, "-c", commands.replaceAll("$SCRIPT", file)]
    const ran = Bun.spawnSync(argv, { env: { PATH: process.env["PATH"] ?? "", HOME: dir } })
    expect(ran.stderr.toString()).toBe("")
    return ran.stdout.toString().trim().split("\n")
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The completions of the last word. */
const bash = (...words: string[]): readonly string[] =>
  shellSays(
    "bash",
    `source $SCRIPT; COMP_WORDS=(stolon ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _stolon; printf '%s\\n' "\${COMPREPLY[@]}"`,
  )

describe("completion() for bash", () => {
  test("offers commands at the top", () => {
    expect(bash("")).toEqual(
      expect.arrayContaining(["keeper", "sentinel", "proxy", "ctl", "dev", "completion"]),
    )
    expect(bash("sen")).toEqual(["sentinel"])
  })
  test("offers subcommands, also of subcommands and after flags", () => {
    expect(bash("ctl", "re")).toEqual(
      expect.arrayContaining(["removekeeper", "resume", "restart", "reload", "reclone"]),
    )
    expect(bash("ctl", "clusterdata", "")).toEqual(["read", "write"])
    expect(bash("ctl", "--cluster-name", "x", "sta")).toEqual(["status"])
    expect(bash("generate", "")).toEqual(["kubernetes", "systemd", "compose"])
    expect(bash("generate", "kubernetes", "--anti-affinity", "re")).toEqual(["required"])
    expect(bash("completion", "")).toEqual(["bash", "zsh", "fish"])
  })
  test("offers the flags of the place, none that are deprecated or only Go's", () => {
    expect(bash("ctl", "restart", "--ro")).toEqual(["--rolling"])
    expect(bash("ctl", "status", "--ro")).toEqual([""])
    expect(bash("keeper", "--pg-su-pass")).toEqual(["--pg-su-password", "--pg-su-passwordfile"])
    expect(bash("keeper", "--deb")).toEqual([""])
    expect(bash("ctl", "status", "--log-l")).toEqual([""])
  })
  test("offers the words of a closed set, with and without an equals sign", () => {
    expect(bash("keeper", "--log-level", "de")).toEqual(["debug"])
    expect(bash("keeper", "--log-level", "=", "wa")).toEqual(["warn"])
    expect(bash("keeper", "--log-level", "=")).toEqual(["debug", "info", "warn", "error"])
  })
})

test.skipIf(Bun.which("zsh") === null)(
  "completion() for zsh is a script that zsh takes (skipped where zsh is not installed)",
  () => {
    expect(
      shellSays("zsh", "autoload -Uz compinit; compinit -D; source $SCRIPT; whence -w _stolon"),
    ).toEqual(["_stolon: function"])
  },
)

test.skipIf(Bun.which("fish") === null)(
  "completion() for fish offers subcommands (skipped where fish is not installed)",
  () => {
    const said = shellSays("fish", "source $SCRIPT; complete -C 'stolon ctl resta'")
    expect(said[0]).toStartWith("restart\t")
  },
)

test("completion() keeps quotes of descriptions from ending a word of the script", () => {
  for (const shell of ["zsh", "fish"] as const) {
    const odd = completion(shell)
      .split("\n")
      .filter((line) => line.replaceAll("'\\''", "").split("'").length % 2 === 0)
    expect(odd.filter((line) => !line.startsWith("#"))).toEqual([])
  }
})
