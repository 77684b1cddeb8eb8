/**
 * Every environment variable of Go's programs (reference 11.3), in both dialects, and nothing under
 * Go's prefixes that we did not mean to add.
 */
import { describe, expect, test } from "bun:test"
import { ctlCommand } from "#cli/ctl.ts"
import { ctlTree } from "#cli/ctl-tree.ts"
import { type Command, type Dialect, type Row, camel } from "#cli/flag.ts"
import { keeperCommand } from "#cli/keeper.ts"
import { envNames, parse } from "#cli/parse.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { sentinelCommand } from "#cli/sentinel.ts"

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== "")
const common = words(`CLUSTER_NAME STORE_BACKEND STORE_ENDPOINTS STORE_TIMEOUT STORE_PREFIX
  STORE_CERT_FILE STORE_KEY STORE_CA_FILE STORE_SKIP_TLS_VERIFY METRICS_LISTEN_ADDRESS
  KUBE_RESOURCE_KIND LOG_LEVEL`)
const service = [...common, "LOG_COLOR", "DEBUG"]
/** Ours, beside Go's. */
const extensions = ["STORE_USER", "STORE_PASSWORD"]

const programs: readonly (readonly [Command, readonly string[]])[] = [
  [
    keeperCommand,
    [
      ...service,
      ...words(`UID ID DATA_DIR PG_LISTEN_ADDRESS PG_ADVERTISE_ADDRESS PG_PORT PG_ADVERTISE_PORT
        PG_BIN_PATH PG_REPL_AUTH_METHOD PG_REPL_USERNAME PG_REPL_PASSWORD PG_REPL_PASSWORDFILE
        PG_SU_AUTH_METHOD PG_SU_USERNAME PG_SU_PASSWORD PG_SU_PASSWORDFILE CAN_BE_MASTER
        CAN_BE_SYNCHRONOUS_REPLICA DISABLE_DATA_DIR_LOCKING PEER_LISTEN_ADDRESS ZONE`),
    ],
  ],
  [sentinelCommand, [...service, "INITIAL_CLUSTER_SPEC", "PEER_LISTEN_ADDRESS"]],
  [
    proxyCommand,
    [
      ...service,
      ...words(`LISTEN_ADDRESS PORT STOP_LISTENING TCP_KEEPALIVE_IDLE TCP_KEEPALIVE_COUNT
        TCP_KEEPALIVE_INTERVAL SHUTDOWN_TIMEOUT TCP_USER_TIMEOUT HOLD_TIMEOUT HOLD_MAX READ_ONLY_PORT READ_ONLY_POLICY MAX_LAG
        FALLBACK_PRIMARY ZONE MAX_CONNECTIONS ACCEPT_PROXY_PROTOCOL
        WORKERS`),
    ],
  ],
  [ctlCommand, [...common, "KUBECONFIG", "KUBE_CONTEXT", "KUBE_NAMESPACE"]],
]

/** The flag that a variable sets, with the name under which it is known there. */
function flagOf(command: Command, variable: string): readonly [string, Row] {
  const slot = variable.toLowerCase().replaceAll("_", "-")
  const found = Object.entries(command.flags).find(
    ([name, row]) => name === slot || (row.aliases ?? []).some((alias) => alias.name === slot),
  )
  if (found === undefined) throw new Error(`no flag for ${variable}`)
  return found
}

/** A text that every dialect takes, and the value that it stands for; never the default. */
function example(name: string, row: Row): readonly [string, unknown] {
  switch (row.type) {
    case "bool":
      return row.default === true ? ["false", false] : ["true", true]
    case "int":
      return ["7", 7]
    case "duration":
      return ["7s", 7000]
    case "list":
      return ["http://a:1,http://b:1", ["http://a:1", "http://b:1"]]
    case "choice": {
      const other = row.choices.find((choice) => choice !== row.default) ?? ""
      return [other, other]
    }
    default:
      if (name.endsWith("auth-method")) return ["trust", "trust"]
      if (name.endsWith("lag")) return ["7MB", "7MB"]
      return name.endsWith("port") ? ["6543", "6543"] : ["some_text", "some_text"]
  }
}

const valueOf = (
  command: Command,
  env: Readonly<Record<string, string>>,
  dialect: Dialect,
  name: string,
  argv: readonly string[] = [],
): unknown => {
  const parsed = parse(command, argv, env, dialect)
  if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
  expect(parsed.notices).toEqual([])
  return Object.entries(parsed.values).find(([key]) => key === camel(name))?.[1]
}

describe.each(programs.map(([command, names]) => [command.prefix ?? "", command, names] as const))(
  "%s_",
  (prefix, command, names) => {
    test.each(names)("%s sets its flag, in silence", (variable) => {
      const [name, row] = flagOf(command, variable)
      const [text, value] = example(name, row)
      const env = { [`${prefix}_${variable}`]: text }
      if (row.only !== "stolon") expect(valueOf(command, env, "go", name)).toEqual(value)
      if (row.only !== "go") expect(valueOf(command, env, "stolon", name)).toEqual(value)
    })

    test("has no other variables than Go's and the few that are ours", () => {
      const known = Object.entries(command.flags).flatMap(([name, row]) => [
        ...envNames(command, name, row),
        ...(row.aliases ?? []).flatMap((alias) => envNames(command, alias.name, row)),
      ])
      const own = known
        .filter((variable) => variable.startsWith(`${prefix}_`))
        .map((variable) => variable.slice(prefix.length + 1))
      const ours = own.filter((variable) => !names.includes(variable))
      const logging = command === ctlCommand ? [] : ["LOG_FORMAT"]
      expect(ours.toSorted()).toEqual([...extensions, ...logging].toSorted())
      expect(names.filter((variable) => !own.includes(variable))).toEqual([])
    })
  },
)

describe("the keeper's name", () => {
  test.each(["go", "stolon"] as const)("is _UID's before _ID's (%s)", (dialect) => {
    const env = { STKEEPER_ID: "from_id", STKEEPER_UID: "from_uid" }
    expect(valueOf(keeperCommand, env, dialect, "uid")).toBe("from_uid")
    expect(valueOf(keeperCommand, { STKEEPER_ID: "from_id" }, dialect, "uid")).toBe("from_id")
    expect(valueOf(keeperCommand, env, dialect, "uid", ["--uid=typed"])).toBe("typed")
  })
  test("is that of --id before both", () => {
    const env = { STKEEPER_ID: "from_id", STKEEPER_UID: "from_uid" }
    const parsed = parse(keeperCommand, ["--id=typed"], env, "go")
    expect(parsed).toMatchObject({ kind: "ok", values: { uid: "typed" } })
  })
})

describe("the common names", () => {
  test("are read after the component's own, by every command", () => {
    const both = { STOLON_CLUSTER_NAME: "shared", STPROXY_CLUSTER_NAME: "own" }
    expect(valueOf(proxyCommand, both, "stolon", "cluster-name")).toBe("own")
    for (const [command] of programs)
      expect(valueOf(command, { STOLON_CLUSTER_NAME: "shared" }, "go", "cluster-name")).toBe(
        "shared",
      )
  })
})

test("flags of subcommands have no variables, only the global ones have", () => {
  const leaves = ctlTree.children.flatMap((node) =>
    node.children.length === 0 ? [node] : node.children,
  )
  for (const { command } of leaves)
    for (const [name, row] of Object.entries(command.flags))
      if (!command.inherited.includes(name)) expect(envNames(command, name, row)).toEqual([])
})
