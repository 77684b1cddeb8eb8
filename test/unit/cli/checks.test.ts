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
import { proxyCommand, sizeOf } from "#cli/proxy.ts"
import { checkStore, inPod } from "#cli/store.ts"
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
      "--store-backend is required (or STOLON_STORE_BACKEND): consul, etcdv2, etcdv3, kubernetes or sqlite",
    ],
    [
      ["--cluster-name=c", "--store-backend=etcd4"],
      'Unknown store backend: "etcd4"',
      '--store-backend "etcd4": expected consul, etcdv2, etcdv3, kubernetes or sqlite',
    ],
    [
      ["--cluster-name=c", "--store-backend=kubernetes", "--kube-resource-kind=secret"],
      'wrong kubernetes resource kind: "secret"',
      '--kube-resource-kind "secret": expected configmap, the only kind there is',
    ],
  ])("refuses %j in the words of the dialect", (argv, go, stolon) => {
    expect(check(argv, "go")).toEqual({ kind: "refused", message: go })
    expect(check(argv, "stolon")).toEqual({ kind: "refused", message: stolon })
  })
  test("takes Kubernetes without a kind, which Go's programs demand; a component names its pod", () => {
    const argv = ["--cluster-name=c", "--store-backend=kubernetes"]
    expect(check(argv, "go")).toEqual({
      kind: "refused",
      message: "unspecified kubernetes resource kind",
    })
    const checked = check(argv, "stolon")
    if (checked.kind === "refused") throw new Error(checked.message)
    const unsaid = { kubeconfig: "", context: "", namespace: "" }
    expect(checked.store.kubernetes).toEqual({ ...unsaid, podName: null })
    const named = inPod(checked.store, { POD_NAME: "keeper-0" })
    expect(named.kubernetes).toEqual({ ...unsaid, podName: "keeper-0" })
    expect(inPod(checked.store, {}).kubernetes?.podName).toBe("")
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

test("reads on standbys are a matter of `stolon`; Go's names do not know the flags", () => {
  const argv = ["--read-only-port=5433", "--read-only-policy=synchronous", "--max-lag=1GB"]
  const given = (dialect: Dialect, ...more: readonly string[]) =>
    parse(proxyCommand, [...argv, ...more], {}, dialect)
  expect(given("stolon", "--fallback-primary=false", "--zone=east")).toMatchObject({
    kind: "ok",
    values: {
      readOnlyPort: "5433",
      readOnlyPolicy: "synchronous",
      maxLag: "1GB",
      fallbackPrimary: false,
      zone: "east",
    },
  })
  expect(given("go").kind).not.toBe("ok")
  for (const wrong of ["--max-lag=64 MB", "--max-lag=many", "--zone=a b", "--read-only-policy=x"])
    expect([wrong, given("stolon", wrong).kind]).not.toEqual([wrong, "ok"])
  const usual = { readOnlyPort: "", readOnlyPolicy: "least-lag", fallbackPrimary: true, zone: "" }
  expect(parse(proxyCommand, [], {}, "stolon")).toMatchObject({ values: usual })
  const place = ["--data-dir=d", "--pg-listen-address=a", "--pg-repl-username=r", "--zone=east"]
  expect(parse(keeperCommand, place, {}, "stolon")).toMatchObject({ values: { zone: "east" } })
  expect(parse(keeperCommand, place, {}, "go").kind).not.toBe("ok")
})

test.each([
  ["0", 0n],
  ["64MB", 64n << 20n],
  ["1GB", 1n << 30n],
  ["512kB", 512n << 10n],
  ["7B", 7n],
  ["", null],
  ["-1", null],
  ["1KB", null],
  ["1 MB", null],
])("sizeOf(%j) is %p", (text, size) => {
  expect(sizeOf(text)).toBe(size)
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
