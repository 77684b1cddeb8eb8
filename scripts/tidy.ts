/**
 * Habits that types, lint and format do not see: dead files, files without a header, overlong
 * comments, leftovers, paths of somebody's machine, documents with two titles or broken links.
 * Prints every finding with its place; exit code 1 when there is one.
 *
 * It reads text and never the syntax tree, so each rule is one that a person could check with a
 * glance at a line.
 */
import { Glob } from "bun"
import { dirname, join, normalize } from "node:path"

interface File {
  readonly path: string
  readonly lines: readonly string[]
}
interface Finding {
  readonly path: string
  readonly line: number
  readonly what: string
}

const widthMax = 100
const root = join(import.meta.dir, "..")

async function read(pattern: string): Promise<readonly File[]> {
  const paths = await Array.fromAsync(new Glob(pattern).scan({ cwd: root, dot: true }))
  const own = paths.filter(
    (path) => !/^(node_modules|dist|\.cache|\.git|test\/golden)\//.test(path),
  )
  return Promise.all(
    own.toSorted().map(async (path) => ({
      path,
      lines: (await Bun.file(join(root, path)).text()).split("\n"),
    })),
  )
}

const everyLine = (
  file: File,
  judge: (line: string, index: number) => string | null,
): readonly Finding[] =>
  file.lines.flatMap((line, index) => {
    const what = judge(line, index)
    return what === null ? [] : [{ path: file.path, line: index + 1, what }]
  })

/** Every source says first why it exists. */
function header(file: File): readonly Finding[] {
  const first = file.lines.findIndex((line) => !line.startsWith("#!"))
  const line = file.lines[first] ?? ""
  if (line.startsWith("/**") || line.startsWith("// ")) return []
  return [
    { path: file.path, line: first + 1, what: "opens without a comment that says why it exists" },
  ]
}

/**
 * The formatter breaks code; comments are ours to break. A long text or pattern may stand on its
 * line.
 */
const width = (file: File): readonly Finding[] =>
  everyLine(file, (line) => {
    if (line.length <= widthMax) return null
    const comment = /^\s*(\/\/|\/?\*)/.test(line) && !line.includes("://")
    // Inline snapshots hold whatever the program prints.
    const breakable = !file.path.endsWith(".test.ts") && !/["'`]|\/.+\//.test(line)
    return comment || breakable ? `${line.length} columns; at most ${widthMax}` : null
  })

const leftover = /\b(TODO|FIXME|XXX|HACK)\b/
const focused = /\b(test|describe|it)\.only\(|\bdebugger\b/
const machinePath = /(^|[\s"'`(=])\/(work|home|Users)\/[a-z]/
const outside = /\.\.\/shared|\/shared\/(spikes|reference)/
/** The one file that has to spell these words. */
const self = "scripts/tidy.ts"

const leftovers = (file: File): readonly Finding[] =>
  everyLine(file, (line) => {
    if (file.path === self) return null
    const marker = leftover.exec(line)?.[1]
    if (marker !== undefined) return `leftover marker ${marker}`
    if (focused.test(line)) return "leftover of a debugging session"
    if (machinePath.test(line)) return "a path of somebody's machine"
    return outside.test(line) ? "refers to files outside the project" : null
  })

/** Where a file's imports lead, as paths in the project. */
function imports(file: File, folders: ReadonlyMap<string, string>): readonly string[] {
  const words = file.lines.join("\n").matchAll(/(?:from|import|URL)[\s(]*"([#.][^"\n]+\.ts)"/g)
  return [...words].map(([, word = ""]) => {
    if (word.startsWith(".")) return normalize(join(dirname(file.path), word))
    const alias = word.slice(0, word.indexOf("/"))
    return join(folders.get(alias) ?? alias, word.slice(word.indexOf("/") + 1))
  })
}

/**
 * A file of the product that no other file of the product leads to. Tests do not keep code alive.
 */
function dead(files: readonly File[], folders: ReadonlyMap<string, string>): readonly Finding[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const alive = new Set<string>()
  const visit = (path: string): void => {
    const file = byPath.get(path)
    if (file === undefined || alive.has(path)) return
    alive.add(path)
    for (const next of imports(file, folders)) visit(next)
  }
  visit("cmd/stolon.ts")
  return files
    .filter((file) => /^(lib|cmd)\//.test(file.path) && !alive.has(file.path))
    .map((file) => ({ path: file.path, line: 1, what: "nothing leads here from cmd/stolon.ts" }))
}

/**
 * Loading on demand is for commands and store clients; anywhere else it would hide an import from
 * the floors.
 */
const hiddenImports = (file: File): readonly Finding[] =>
  file.path.startsWith("lib/") && !/^lib\/(store|cli)\//.test(file.path)
    ? everyLine(file, (line) =>
        /\bimport\(/.test(line) ? "an import() outside cmd/ and lib/store/" : null,
      )
    : []

/** One title, no tabs or trailing blanks, links that lead somewhere. */
async function document(file: File): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  let fenced = false
  let titles = 0
  for (const [index, line] of file.lines.entries()) {
    const report = (what: string): number =>
      findings.push({ path: file.path, line: index + 1, what })
    if (line.startsWith("```")) fenced = !fenced
    if (/\s$/.test(line)) report("blanks at the end of the line")
    if (fenced) continue
    if (line.startsWith("# ") && ++titles > 1) report("a second title")
    for (const [, target = ""] of line.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const there = await Bun.file(join(root, dirname(file.path), target))
        .stat()
        .catch(() => null)
      if (there === null) report(`the link to ${target} leads nowhere`)
    }
  }
  if (titles === 0) findings.push({ path: file.path, line: 1, what: "has no title" })
  return findings
}

async function aliases(): Promise<ReadonlyMap<string, string>> {
  const manifest: { readonly imports: Readonly<Record<string, string>> } = await Bun.file(
    join(root, "package.json"),
  ).json()
  return new Map(
    Object.entries(manifest.imports).map(([alias, target]) => [
      alias.replace("/*", ""),
      normalize(target.replace("/*", "")),
    ]),
  )
}

const sources = await read("{cmd,lib,test,scripts}/**/*.ts")
const documents = await read("**/*.md")
const habits = await read("{Makefile,.ci/*,scripts/*.{sh,json},package.json}")
const findings = [
  ...sources.flatMap((file) => [...header(file), ...width(file), ...hiddenImports(file)]),
  ...[...sources, ...documents, ...habits].flatMap(leftovers),
  ...dead(sources, await aliases()),
  ...(await Promise.all(documents.map(document))).flat(),
]
for (const { path, line, what } of findings) console.log(`${path}:${line}: ${what}`)
console.log(
  findings.length === 0
    ? `tidy: ${sources.length} sources and ${documents.length} documents are fine`
    : `tidy: ${findings.length} findings`,
)
process.exitCode = findings.length === 0 ? 0 : 1
