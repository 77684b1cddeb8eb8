/**
 * `stolon completion SHELL`: what a shell needs to complete our words, printed from the same tables
 * that parse them, so the two cannot drift apart. Subcommands, flags and words of closed sets;
 * where nothing of ours fits, files.
 *
 * Text in, text out: no script asks the store for anything, completing must never hang.
 */
import { ctlTree } from "./ctl-tree.ts"
import { devCommand } from "./dev.ts"
import { type Command, type Row, command, rowsIn } from "./flag.ts"
import { generateTree } from "./generate.ts"
import { keeperCommand } from "./keeper.ts"
import { proxyCommand } from "./proxy.ts"
import { sentinelCommand } from "./sentinel.ts"
import { type Node, childrenIn } from "./tree.ts"
import { versionCommand } from "./version.ts"

export const shells = ["bash", "zsh", "fish"] as const
export type Shell = (typeof shells)[number]

export const completionCommand = command({
  name: "completion",
  summary: "print a script that completes commands and flags in your shell",
  about: ["For bash, zsh and fish. The script is to be read by the shell at its start."],
  prefix: null,
  flags: {},
  inherited: [],
  positionals: { usage: shells.join("|"), max: 1 },
  goVersion: false,
  examples: [
    { line: "source <(stolon completion bash)", doc: "bash: this session; for all: in ~/.bashrc" },
    { line: "stolon completion zsh > ~/.zfunc/_stolon", doc: "zsh: a directory of $fpath" },
    {
      line: "stolon completion fish > ~/.config/fish/completions/stolon.fish",
      doc: "fish: for every session",
    },
  ],
})

/** One place in the tree: what may follow the words of `path`. */
interface Place {
  /** `ctl clusterdata read`; empty at the top. */
  readonly path: string
  readonly children: readonly { readonly name: string; readonly doc: string }[]
  readonly flags: readonly (readonly [string, Row])[]
}

const leaf = (it: Command): Node => ({ command: it, children: [] })
const topLevel: readonly Node[] = [
  ...[keeperCommand, sentinelCommand, proxyCommand].map(leaf),
  ctlTree,
  leaf(devCommand),
  generateTree,
  ...[versionCommand, completionCommand].map(leaf),
]

const entry = ({ command: { name, summary } }: Node): Place["children"][number] => ({
  name,
  doc: summary,
})

function places(): readonly Place[] {
  const below = (path: string, node: Node): readonly Place[] => {
    const children = childrenIn(node, "stolon")
    const flags = rowsIn(node.command.flags, "stolon").filter(
      ([, row]) => row.deprecated === undefined,
    )
    return [
      { path, children: children.map(entry), flags },
      ...children.flatMap((child) => below(`${path} ${child.command.name}`, child)),
    ]
  }
  const words = shells.map((name) => ({ name, doc: `the script for ${name}` }))
  return [
    { path: "", children: topLevel.map(entry), flags: [] },
    ...topLevel
      .flatMap((node) => below(node.command.name, node))
      .map((place) => (place.path === "completion" ? { ...place, children: words } : place)),
  ]
}

/** The words of a closed set that a flag takes. */
const choices = (row: Row): readonly string[] => (row.type === "choice" ? row.choices : [])

export function completion(shell: Shell): string {
  switch (shell) {
    case "bash":
      return bash(places())
    case "zsh":
      return zsh(places())
    case "fish":
      return fish(places())
  }
}

const header = (shell: Shell): string =>
  `# ${shell} completion of stolon; made by: stolon completion ${shell}`
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
const paths = (all: readonly Place[]): readonly string[] =>
  all.map(({ path }) => path).filter((path) => path !== "")

function bash(all: readonly Place[]): string {
  const known = paths(all).map(quoted).join("|")
  const cases = all.map(({ path, children, flags }) => {
    const words = children.map(({ name }) => name).join(" ")
    const names = flags.map(([name]) => `--${name}`).join(" ")
    return `    ${quoted(path)}) words=${quoted(words)} flags=${quoted(names)} ;;`
  })
  return `${header("bash")}
_stolon() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} at= word words= flags= i
  # --flag=value comes as three words
  if [[ $cur == "=" ]]; then cur=; elif [[ $prev == "=" ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${at:+$at }\${COMP_WORDS[i]}"
    case $word in ${known}) at=$word ;; esac
  done
  case $prev in
${[...choiceFlags(all)].map(([name, words]) => `    --${name}) COMPREPLY=($(compgen -W ${quoted(words.join(" "))} -- "$cur")); return ;;`).join("\n")}
  esac
  case $at in
${cases.join("\n")}
  esac
  [[ $cur == -* ]] && words=$flags
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _stolon stolon
`
}

function choiceFlags(all: readonly Place[]): ReadonlyMap<string, readonly string[]> {
  return new Map(
    all.flatMap(({ flags }) =>
      flags.flatMap(([name, row]) => {
        const words = choices(row)
        return words.length === 0 ? [] : [[name, words] as const]
      }),
    ),
  )
}

function zsh(all: readonly Place[]): string {
  const item = (name: string, doc: string): string =>
    quoted(`${name}:${doc.replaceAll(":", "\\:")}`)
  const known = paths(all).map(quoted).join("|")
  const cases = all.map(({ path, children, flags }) => {
    const words = children.map(({ name, doc }) => item(name, doc)).join(" ")
    const names = flags.map(([name, row]) => item(`--${name}`, row.doc)).join(" ")
    return `    (${quoted(path)}) commands=(${words}) flags=(${names}) ;;`
  })
  return `#compdef stolon
${header("zsh")}
_stolon() {
  local at= word
  local -a commands flags
  for word in "\${(@)words[2,CURRENT-1]}"; do
    word="\${at:+$at }$word"
    case $word in (${known}) at=$word ;; esac
  done
  case $at in
${cases.join("\n")}
  esac
  if [[ $PREFIX == -* ]]; then _describe -o flag flags
  elif (( $#commands )); then _describe command commands
  else _files; fi
}
if [[ $funcstack[1] == _stolon ]]; then _stolon "$@"; else compdef _stolon stolon; fi
`
}

function fish(all: readonly Place[]): string {
  const lines = all.flatMap(({ path, children, flags }) => {
    const at = `complete -c stolon -n ${quoted(`__stolon_at ${quoted(path)}`)}`
    return [
      ...children.map(({ name, doc }) => `${at} -f -a ${quoted(name)} -d ${quoted(doc)}`),
      ...flags.map(([name, row]) => {
        const words = choices(row)
        const value =
          words.length > 0 ? ` -x -a ${quoted(words.join(" "))}` : row.type === "bool" ? "" : " -r"
        return `${at} -l ${name}${value} -d ${quoted(row.doc)}`
      }),
    ]
  })
  return `${header("fish")}
function __stolon_at
    set -l at ""
    for word in (commandline -opc)[2..]
        set -l next (string trim "$at $word")
        contains -- $next ${paths(all).map(quoted).join(" ")}; and set at $next
    end
    test "$at" = "$argv[1]"
end
${lines.join("\n")}
`
}
