/** What commands check of their flags before they start. */
import { describe, expect, test } from "bun:test"
import { logSettings } from "#cli/common.ts"
import { goCommand } from "#cli/invocation.ts"
import {
  type PostgresChoice,
  checkPasswords,
  checkPostgres,
  checkUid,
  checkUser,
} from "#cli/keeper-checks.ts"
import { keeperCommand } from "#cli/keeper.ts"
import { parse } from "#cli/parse.ts"
import { proxyCommand } from "#cli/proxy.ts"
import { checkStore } from "#cli/store.ts"
import type { Dialect } from "#cli/flag.ts"

function keeper(argv: readonly string[], dialect: Dialect = "go") {
  const parsed = parse(keeperCommand, argv, {}, dialect)
  if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
  return parsed
}

describe("checkStore()", () => {
  const check = (argv: readonly string[], dialect: Dialect) =>
    checkStore(keeper(argv, dialect).values, dialect)
  test("gives the settings", () => {
    const argv = [
      "--cluster-name=c",
      "--store-backend=etcdv3",
      "--store-endpoints=a:1,b:2",
      "--store-key=k",
    ]
    expect(check(argv, "stolon")).toEqual({
      kind: "store",
      store: {
        clusterName: "c",
        backend: "etcdv3",
        endpoints: ["a:1", "b:2"],
        prefix: "stolon/cluster",
        timeout: 5000,
        tls: { certFile: "", keyFile: "k", caFile: "", skipVerify: false },
        user: "",
        password: "",
      },
    } as never)
  })
  test.each([
    [
      [],
      "cluster name required",
      "--cluster-name is required (or STOLON_CLUSTER_NAME): the name of the cluster",
    ],
    [
      ["--cluster-name=c"],
      "store backend type required",
      "--store-backend is required (or STOLON_STORE_BACKEND): etcdv3 or sqlite",
    ],
    [
      ["--cluster-name=c", "--store-backend=etcd4"],
      'Unknown store backend: "etcd4"',
      '--store-backend "etcd4": expected etcdv3 or sqlite',
    ],
    [
      ["--cluster-name=c", "--store-backend=kubernetes"],
      "unspecified kubernetes resource kind",
      'store backend "kubernetes" is not in this version; it has etcdv3 and sqlite',
    ],
  ])("refuses %j in the words of the dialect", (argv, go, stolon) => {
    expect(check(argv, "go")).toEqual({ kind: "refused", message: go })
    expect(check(argv, "stolon")).toEqual({ kind: "refused", message: stolon })
  })
})

describe("checkPostgres()", () => {
  const given = ["--pg-listen-address=192.0.2.1", "--pg-repl-username=repl", "--pg-repl-password=a"]
  const check = (argv: readonly string[], dialect: Dialect = "go") => {
    const { values, changed } = keeper(argv, dialect)
    return checkPostgres(values, changed, "postgres", dialect)
  }
  test("fills in what was left out", () => {
    expect(check([...given, "--pg-su-passwordfile=/f"])).toMatchObject({
      kind: "ok",
      warnings: [],
      value: {
        listenAddress: "192.0.2.1",
        port: "5432",
        advertiseAddress: "192.0.2.1",
        advertisePort: "5432",
        superuser: { name: "postgres", method: "md5", password: { kind: "file", path: "/f" } },
        replication: { name: "repl", method: "md5", password: { kind: "given", text: "a" } },
      },
    })
  })
  test("takes the superuser's name as given, even when it is empty", () => {
    const checked = check([...given, "--pg-su-password=b", "--pg-su-username="])
    expect(checked.kind === "ok" ? checked.value.superuser.name : null).toBe("")
  })
  test.each([
    ["--pg-su-username=a\nb", "--pg-su-username cannot contain a line break"],
    ["--pg-repl-username=a\rb", "--pg-repl-username cannot contain a line break"],
    ["--pg-su-username=/x", "--pg-su-username cannot begin with a slash"],
  ])("D-47 refuses a name that pg_hba.conf cannot hold: %j", (flag, message) => {
    const others = ["--pg-listen-address=192.0.2.1", "--pg-repl-username=r", "--pg-repl-password=a"]
    const checked = check([...others, "--pg-su-password=b", flag])
    expect(checked.kind === "refused" ? checked.message : "").toStartWith(message)
  })
  test("knows scram-sha-256 as stolon only", () => {
    const argv = [...given, "--pg-su-password=b", "--pg-su-auth-method=scram-sha-256"]
    expect(check(argv, "stolon")).toMatchObject({
      kind: "ok",
      value: { superuser: { method: "scram-sha-256" } },
    })
    expect(check(argv, "go")).toMatchObject({
      kind: "refused",
      message: "--pg-su-auth-method must be one of: md5, password, trust",
    })
  })
  test("warns of addresses that others may not reach, naming the flag they came from", () => {
    const warnings = (argv: readonly string[]) =>
      check([...given.slice(1), "--pg-su-password=b", ...argv]).warnings
    expect(warnings(["--pg-listen-address=127.0.0.1"])).toEqual([
      expect.stringContaining('--pg-listen-address "127.0.0.1" is a loopback ip'),
    ])
    expect(warnings(["--pg-listen-address=*", "--pg-advertise-address=db1"])).toEqual([
      expect.stringContaining('--pg-advertise-address "db1": not an ip address'),
    ])
    expect(warnings(["--pg-listen-address=2001:db8::1"])).toEqual([])
  })
})

describe("checkPasswords()", () => {
  const choice = (su: string, repl: string): PostgresChoice => {
    const user = (name: string) => ({ name, method: "md5", password: { kind: "none" } }) as const
    return {
      listenAddress: "a",
      port: "1",
      advertiseAddress: "a",
      advertisePort: "1",
      superuser: user(su),
      replication: user(repl),
    }
  }
  test("removes newlines at the end and says so, superuser first", () => {
    expect(checkPasswords(choice("a", "b"), { superuser: "x\r\n", replication: "y\n" })).toEqual({
      kind: "ok",
      value: { superuser: "x", replication: "y" },
      warnings: [
        "superuser password contain trailing new line, removing",
        "replication user password contain trailing new line, removing",
      ],
    })
  })
  test("refuses a password of newlines only", () => {
    expect(checkPasswords(choice("a", "b"), { superuser: "\n", replication: "y" })).toMatchObject({
      kind: "refused",
      message: "superuser password is empty after removing trailing new line",
    })
  })
  test("refuses one user with two passwords", () => {
    expect(checkPasswords(choice("a", "a"), { superuser: "x", replication: "y" })).toMatchObject({
      kind: "refused",
      message:
        "provided superuser name and replication user name are the same but provided passwords are different",
    })
    expect(checkPasswords(choice("a", "a"), { superuser: "x", replication: "x\n" }).kind).toBe("ok")
  })
})

test("checkUid() accepts hyphens as stolon only", () => {
  expect(checkUid("pg-1", "stolon")).toBeNull()
  expect(checkUid("pg-1", "go")).toContain('keeper uid "pg-1" not valid')
  expect(checkUid("", "go")).toBeNull()
  expect(checkUid("Pg", "stolon")).not.toBeNull()
})

test("holding is a matter of `stolon proxy`; stolon-proxy does not know its flags", () => {
  const given = (dialect: Dialect) =>
    parse(proxyCommand, ["--hold-timeout=1m", "--hold-max=5"], {}, dialect)
  expect(given("stolon")).toMatchObject({
    kind: "ok",
    values: { holdTimeout: 60_000, holdMax: 5 },
  })
  expect(given("go").kind).not.toBe("ok")
  const usual = parse(proxyCommand, [], {}, "stolon")
  expect(usual).toMatchObject({ values: { holdTimeout: 30_000, holdMax: 10_000 } })
})

test("logSettings() colours on a terminal only, unless told, and never JSON", () => {
  const values = { logLevel: "info", logFormat: "text", logColor: false, debug: false } as const
  const told = new Map([["log-color", "--log-color"]])
  const color = (
    it: Parameters<typeof logSettings>[0],
    changed: ReadonlyMap<string, string>,
    terminal: boolean,
  ) => logSettings(it, changed, terminal).color
  expect(color(values, new Map(), true)).toBe(true)
  expect(color(values, new Map(), false)).toBe(false)
  expect(color(values, told, true)).toBe(false)
  expect(color({ ...values, logColor: true }, told, false)).toBe(true)
  expect(color({ ...values, logFormat: "json" }, new Map(), true)).toBe(false)
  expect(logSettings({ ...values, debug: true }, new Map(), false).level).toBe("debug")
})

test("goCommand() knows Go's program names, with or without a path", () => {
  expect(goCommand("/usr/bin/stolonctl")).toEqual({ program: "stolonctl", command: "ctl" })
  expect(goCommand("stolon-keeper")).toEqual({ program: "stolon-keeper", command: "keeper" })
  expect(goCommand("./stolon")).toBeNull()
  expect(goCommand("/opt/stolonctl/stolon")).toBeNull()
})

test("checkUser() needs a name from somewhere for the superuser", () => {
  const named = keeper(["--pg-su-username=postgres"]).changed
  expect(checkUser(named, "")).toBeNull()
  expect(checkUser(new Map(), "ann")).toBeNull()
  expect(checkUser(new Map(), "")).toBe("cannot get current user: cannot detect current user")
})

test("passwords are proved by SCRAM in our dialect, unless somebody says otherwise", () => {
  const methods = (argv: readonly string[], dialect: Dialect) => {
    const { pgReplAuthMethod, pgSuAuthMethod } = keeper(argv, dialect).values
    return [pgReplAuthMethod, pgSuAuthMethod]
  }
  expect(methods([], "stolon")).toEqual(["scram-sha-256", "scram-sha-256"])
  expect(methods(["--pg-su-auth-method=md5"], "stolon")).toEqual(["scram-sha-256", "md5"])
  expect(methods([], "go")).toEqual(["md5", "md5"])
})
