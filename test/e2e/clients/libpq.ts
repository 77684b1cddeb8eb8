/**
 * PostgreSQL's own programs, as real processes: psql once for each statement, psql at a terminal
 * with one session, and pgbench, which connects anew for each transaction because it cannot after
 * it has lost one.
 */
import { readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { postgresPrograms } from "#cmd/dev-place.ts"
import { until } from "#test/conformance/wait.ts"
import { environment, own, wordsAsOurselves } from "#test/e2e/place.ts"
import {
  type Fate,
  type Survivor,
  database,
  role,
  rolePassword,
  survivor,
  table,
} from "./survivor.ts"

const program = (name: string): string => join(postgresPrograms(""), name)
const to = (port: number): readonly string[] => [
  ...["-h", "127.0.0.1", "-p", `${port}`, "-U", role],
  ...["-d", database],
]
const libpqEnvironment = (): Record<string, string> => ({
  ...environment(),
  PGPASSWORD: rolePassword,
  TERM: "dumb",
})

/** A psql for each statement. */
export function onPsql(port: number): Survivor {
  const name = "psql -c"
  const attempt = async (id: number): Promise<Fate> => {
    const statement = `insert into ${table} values ('${name}', ${id})`
    const child = Bun.spawn([program("psql"), "-X", "-q", ...to(port), "-c", statement], {
      stdio: ["ignore", "ignore", "pipe"],
      env: libpqEnvironment(),
    })
    const [why, code] = await Promise.all([new Response(child.stderr).text(), child.exited])
    return code === 0 ? { kind: "done" } : { kind: "told", why: why.trim() }
  }
  return survivor(name, 1, attempt)
}

/** What psql says of its own accord when a statement finds the session gone. */
const attempted = /Attempting reset: (Succeeded|Failed)\./
const disconnected = "You are currently not connected to a database."

/**
 * A person at one psql: asks, reads, asks again. psql connects again by itself, and where it could
 * not the person says `\c`; the program is never started again.
 */
export function onTerminal(port: number): Survivor {
  const name = "psql at a terminal"
  const options = ["-X", "-q", "-n", "-A", "-t", "-P", "pager=off", ...to(port)]
  // script(1) is the terminal; the typed line comes back with its answer
  const typed = [program("psql"), ...options].join(" ")
  const child = Bun.spawn([...wordsAsOurselves(["script", "-q", "-e", "-c", typed, "/dev/null"])], {
    stdio: ["pipe", "pipe", "ignore"],
    env: libpqEnvironment(),
  })
  let said = ""
  void (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of child.stdout) said += decoder.decode(chunk, { stream: true })
  })()
  const type = (line: string): void => {
    said = ""
    void child.stdin.write(`${line}\n`)
    void child.stdin.flush()
  }
  const answerTo = async (id: number): Promise<Fate> => {
    // put together by the server, so that the echo of the line is no answer
    type(`insert into ${table} values ('${name}', ${id}) returning 'written ' || id || '.';`)
    const word = await until(
      `psql's answer to ${id}, which said ${said.slice(-300)}`,
      () => {
        if (child.exitCode !== null) return "ended"
        if (said.includes(`written ${id}.`)) return "done"
        return said.includes(disconnected) ? "Failed" : (attempted.exec(said)?.[1] ?? null)
      },
      45_000,
    ).catch(String)
    if (word === "done") return { kind: "done" }
    const why = said.replaceAll("\r", "").trim()
    if (word === "Failed") type("\\c")
    return { kind: word === "Succeeded" || word === "Failed" ? "told" : "failed", why }
  }
  return survivor(name, 1, answerTo, async () => {
    void child.stdin.write("\\q\n")
    await child.stdin.end()
    await child.exited
  })
}

export interface Pgbench extends Survivor {
  /** What it printed. */
  readonly output: () => string
  readonly exitCode: () => number | null
}

/** Rows of pgbench's clients are told apart by this. */
const perClient = 1_000_000
const clients = 6
/** Transactions a second of all, so that most clients are between two at any moment. */
const rate = 12
/** It ends by itself when the test has gone. */
const longestSeconds = 300

/** What pgbench says of a client that it gives up; one that was refused had sent nothing else. */
const aborted = /^pgbench: error: client (\d+) (?:script \d+ )?aborted in command (\d+)\b.*$/gm
/** In the script below. */
const firstStatement = 1

/**
 * pgbench with `--connect`. A client that loses its connection in a transaction is given up by
 * pgbench, whatever it is told; the others go on. Each has a thread: in one thread a client that
 * waits for its connection would stop the others within their transactions.
 */
export async function onPgbench(port: number, directory: string): Promise<Pgbench> {
  const name = "pgbench"
  const script = join(directory, "survive.sql")
  const log = join(directory, "survive")
  writeFileSync(
    script,
    [
      "\\set n :n + 1",
      "begin;",
      `insert into ${table} values ('${name}', :client_id * ${perClient} + :n);`,
      "select pg_sleep(0.01);",
      "commit;\n",
    ].join("\n"),
  )
  await own(script)
  const words = [
    ...[program("pgbench"), "-n", "-C", "-f", script, "-D", "n=0", "--max-tries=5"],
    ...["-c", `${clients}`, "-j", `${clients}`, "-R", `${rate}`, "-T", `${longestSeconds}`],
    ...["-l", `--log-prefix=${log}`, "-h", "127.0.0.1", "-p", `${port}`, "-U", role, database],
  ]
  const child = Bun.spawn([...wordsAsOurselves(words)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: libpqEnvironment(),
    cwd: directory,
  })
  let output = ""
  const reading = [child.stdout, child.stderr].map(async (stream) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true })
  })
  const acknowledged = new Set<number>()
  return {
    ...{ name, acknowledged, output: () => output, exitCode: () => child.exitCode },
    told: new Set(),
    get failures() {
      const all = output.split("\n").filter((line) => / error: /.test(line))
      const refused = [...output.matchAll(aborted)]
        .filter(([, , command]) => Number(command) === firstStatement)
        .map(([line]) => line)
      return all.filter((line) => !refused.includes(line) && !line.includes("Run was aborted"))
    },
    stop: async () => {
      child.kill("SIGALRM") // its own timer's signal: ends the run as if the time were over
      await child.exited
      await Promise.all(reading)
      for (const file of readdirSync(directory).filter((each) => each.startsWith("survive.")))
        if (file !== "survive.sql")
          for (const id of logged(readFileSync(join(directory, file), "utf8"))) acknowledged.add(id)
    },
  }
}

/** The rows that its log knows: the transactions of a client are numbered as its rows are. */
function logged(log: string): readonly number[] {
  const count = new Map<number, number>()
  for (const [, client] of log.matchAll(/^(\d+) \d+ \d+ /gm)) {
    const number = Number(client)
    count.set(number, (count.get(number) ?? 0) + 1)
  }
  return [...count].flatMap(([client, transactions]) =>
    Array.from({ length: transactions }, (_, i) => client * perClient + i + 1),
  )
}
