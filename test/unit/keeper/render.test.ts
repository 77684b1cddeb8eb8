/**
 * Generated files against those that Go's keepers left on disk, and against the defects that are
 * not carried over.
 */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { generator } from "#base/random.ts"
import { formatConf, parseConf } from "#keeper/conf.ts"
import { formatConninfo, parseConninfo } from "#keeper/conninfo.ts"
import { type Desired, type Run, desire } from "#keeper/desire.ts"
import { formatHba, guardOf } from "#keeper/hba.ts"
import { type Scene, ignoredParameters, render, renderTemporary } from "#keeper/render.ts"
import { reportedParameters } from "#keeper/reported.ts"
import { revisionOf } from "#keeper/revision.ts"
import type { Settings } from "#keeper/settings.ts"
import { type DB } from "#model/cluster.ts"
import { dbUID, epoch, keeperUID } from "#model/ids.ts"
import type { Spec } from "#model/spec.ts"
import { boot, db, followsOther, me, other, settings, view } from "./build.ts"
import { type Machine, dir, emptyMachine, observe } from "./model.ts"

const golden = (name: string, file: string): string =>
  readFileSync(join(import.meta.dir, "../../golden/disk", name, file), "utf8")
const lines = (text: string): readonly string[] =>
  text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => line.trimEnd())
    .toSorted()

interface Case {
  readonly db: DB
  readonly dbs?: readonly DB[]
  readonly spec?: Partial<Spec>
  readonly settings?: Partial<Settings>
  readonly machine?: Machine
}

function scene({
  db: own,
  dbs = [],
  spec = {},
  settings: change = {},
  machine = emptyMachine,
}: Case): Scene {
  const want = desire(view({ dbs: [own, ...dbs], spec }), { uid: me, boot, certificate: null })
  return { local: observe(machine), want: asRun(want), settings: { ...settings, ...change } }
}
function asRun(desired: Desired): Run {
  if (desired.kind !== "run") throw new Error(desired.why)
  return desired
}

/** The user's part of a golden file: what the keeper does not manage itself. */
const managed =
  /^(unix_socket_directories|wal_level|hot_standby|wal_keep_size|listen_addresses|port|max_wal_senders|max_replication_slots|wal_log_hints|synchronous_standby_names|primary_|recovery_|restore_)/
const usersOf = (conf: string): ReadonlyMap<string, string> =>
  new Map([...parseConf(conf)].filter(([name]) => !managed.test(name)))
/**
 * Lines that we add: our own, and the default timeline on a primary, without which a promotion
 * leaves a restart pending.
 */
const ours =
  /^(stolon\.(revision|lineage)|restart_after_crash|wal_retrieve_retry_interval|recovery_target_timeline = 'latest')/
const withoutOurs = (conf: string): readonly string[] =>
  lines(conf).filter((line) => !ours.test(line))

interface Golden {
  readonly name: string
  readonly at: readonly [string, string]
  readonly spec?: Partial<DB["spec"]>
  readonly followed?: DB
  readonly uid?: string
  readonly signal?: "none" | "standby"
  readonly closed?: boolean
}
const primary3 = other({}, { listenAddress: "10.0.0.11", port: "5432" })
const moreSenders = { additionalWalSenders: 7, usePgrewind: true }
const goldens: readonly Golden[] = [
  { name: "master", at: ["10.0.0.11", "5432"] },
  {
    name: "standby",
    at: ["10.0.0.12", "5433"],
    uid: "89adce16",
    spec: followsOther,
    followed: primary3,
    signal: "standby",
  },
  {
    name: "rewound",
    at: ["10.0.0.12", "5433"],
    uid: "51a86913",
    spec: { ...followsOther, ...moreSenders },
    followed: other({}, { listenAddress: "10.0.0.13", port: "5434" }),
    signal: "standby",
  },
  {
    name: "sync-master-two",
    at: ["10.0.0.11", "5432"],
    spec: {
      ...moreSenders,
      synchronousReplication: true,
      synchronousStandbys: [dbUID("076e3258"), dbUID("6e5d90b5")],
    },
  },
  {
    name: "sync-guard",
    at: ["10.0.0.13", "5434"],
    spec: {
      ...moreSenders,
      synchronousReplication: true,
      synchronousStandbys: [dbUID("076e3258")],
    },
    closed: true,
  },
  {
    name: "standby-cluster",
    at: ["10.0.0.13", "5434"],
    spec: {
      role: "standby",
      followConfig: {
        type: "external",
        dbuid: dbUID(""),
        standbySettings: {
          primaryConninfo: "host=10.0.0.12 port=5433 user=repluser password=replpw sslmode=prefer",
          primarySlotName: "stolon_stbycluster",
          recoveryMinApplyDelay: "",
        },
        archiveRecoverySettings: { restoreCommand: "cp /var/lib/stolon/archive/%f %p" },
      },
    },
    signal: "standby",
  },
  { name: "pitr", at: ["10.0.0.12", "5433"] },
]

describe("render() gives", () => {
  for (const {
    name,
    at,
    spec = {},
    followed,
    uid = "db1",
    signal = "none",
    closed = false,
  } of goldens)
    test(`files as Go wrote them: ${name}`, () => {
      const conf = golden(name, "postgresql.conf")
      const own = db(uid, { ...spec, pgParameters: usersOf(conf) })
      const place = { listenAddress: at[0], port: at[1] }
      const made = scene({
        db: own,
        dbs: followed === undefined ? [] : [followed],
        settings: place,
      })
      const { files } = render(made, closed ? "restarted" : "none", signal)
      expect(withoutOurs(files.conf)).toEqual(withoutOurs(conf))
      const rules = files.hba
        .split("\n")
        .filter((line) => !line.startsWith("#"))
        .join("\n")
      expect(rules).toBe(golden(name, "pg_hba.conf"))
      expect(files.signal === "standby").toBe(
        golden(name, "signals.txt").includes("standby.signal"),
      )
    })

  test("master-custom, but for D-47 (backslash) and D-49 (room for additional slots)", () => {
    const conf = golden("master-custom", "postgresql.conf")
    const users = new Map([...usersOf(conf), ["archive_command", 'cp "%p" /tmp/a\\b'] as const])
    const rules = golden("master-custom", "pg_hba.conf").split("\n").slice(6, -1)
    const own = db("db1", { pgParameters: users, additionalWalSenders: 7, pgHBA: rules })
    const { files } = render(
      scene({ db: own, spec: { additionalMasterReplicationSlots: ["audit", "report_01"] } }),
      "none",
      "none",
    )
    const made = withoutOurs(files.conf)
    expect(made.filter((line) => !lines(conf).includes(line))).toEqual([
      "archive_command = 'cp \"%p\" /tmp/a\\\\b'",
      "max_replication_slots = '22'",
    ])
    expect(made.length).toBe(lines(conf).length)
    expect(files.hba).toBe(golden("master-custom", "pg_hba.conf"))
  })
})

describe("formatConf()", () => {
  test("D-47 lets every value survive", () => {
    const random = generator(7)
    const alphabet = [
      "'",
      "\\",
      "\n",
      "\t",
      "\r",
      "\b",
      "\f",
      "n",
      "0",
      "1",
      "#",
      " ",
      "=",
      '"',
      "é",
      "%",
      "a",
    ]
    for (let i = 0; i < 2_000; i++) {
      const value = Array.from(
        { length: random.below(12) },
        () => alphabet[random.below(alphabet.length)],
      ).join("")
      expect(parseConf(formatConf(new Map([["x", value]]))).get("x")).toBe(value)
    }
  })
})

describe("formatConninfo()", () => {
  test("leaves plain values plain and sorts the keys", () => {
    expect(
      formatConninfo(
        new Map([
          ["user", "u"],
          ["host", "h"],
          ["password", ""],
        ]),
      ),
    ).toBe("host=h user=u")
  })
  test("lets every value survive", () => {
    const random = generator(11)
    const alphabet = ["'", "\\", " ", "\n", "=", "a", "é", '"']
    for (let i = 0; i < 2_000; i++) {
      const value = `x${Array.from({ length: random.below(10) }, () => alphabet[random.below(alphabet.length)]).join("")}`
      expect(
        parseConninfo(
          formatConninfo(
            new Map([
              ["password", value],
              ["user", "u"],
            ]),
          ),
        )?.get("password"),
      ).toBe(value)
    }
  })
  test("the password of a trusted user is left out", () => {
    const made = scene({
      db: db("db1", followsOther),
      dbs: [other()],
      settings: { replication: { name: "repl", method: "trust", password: "" } },
    })
    expect(parseConf(render(made, "none", "standby").files.conf).get("primary_conninfo")).toBe(
      "application_name=stolon_db1 host=10.0.0.12 port=5433 sslmode=prefer user=repl",
    )
  })
})

describe("formatHba()", () => {
  const hba = (change: Partial<Parameters<typeof formatHba>[0]> = {}): readonly string[] =>
    formatHba({ settings, peers: null, rules: null, guard: "none", ...change })
      .trimEnd()
      .split("\n")

  test("D-68 strict mode takes addresses of both families, names, and each user's own method", () => {
    const own = {
      ...settings,
      superuser: { ...settings.superuser, method: "scram-sha-256" } as const,
    }
    expect(
      hba({ settings: own, peers: ["10.0.0.1", "fd00::1", "db.example.com"], rules: [] }).slice(2),
    ).toEqual([
      "host all postgres 10.0.0.1/32 scram-sha-256",
      "host replication repluser 10.0.0.1/32 md5",
      "host all postgres fd00::1/128 scram-sha-256",
      "host replication repluser fd00::1/128 md5",
      "host all postgres db.example.com scram-sha-256",
      "host replication repluser db.example.com md5",
    ])
  })
  test("D-68 strict mode skips DBs without an address and lets a standby's peers out", () => {
    const rules = (own: DB): string => {
      const dbs = [other(), db("db9", { keeperUID: keeperUID("k9") })]
      return render(
        scene({ db: own, dbs, spec: { defaultSUReplAccessMode: "strict" } }),
        "none",
        "none",
      ).files.hba
    }
    expect(rules(db("db1"))).toContain("host replication repluser 10.0.0.12/32 md5")
    expect(rules(db("db1"))).not.toContain(" /32")
    expect(rules(db("db1", followsOther))).not.toContain("10.0.0.12")
  })
  test("quotes names that would mean something else", () => {
    const named = (name: string): Settings => ({
      ...settings,
      superuser: { ...settings.superuser, name },
    })
    expect(hba({ settings: named("all") })[0]).toBe('local postgres "all" md5')
    expect(hba({ settings: named("a b") })[0]).toBe('local postgres "a b" md5')
    expect(hba({ settings: named('a"b') })[0]).toBe('local postgres "a""b" md5')
    expect(hba({ settings: named("+x") })[0]).toBe('local postgres "+x" md5')
  })
  test("a closed file says why, and no rule of a user does", () => {
    expect(hba({ guard: "promoted", rules: ["host all all all trust"] })).not.toContain(
      "host all all all trust",
    )
    for (const guard of ["none", "restarted", "promoted"] as const)
      expect(
        guardOf(
          formatHba({
            settings,
            peers: null,
            rules: ["# closed to clients by stolon: promoted"],
            guard,
          }),
        ),
      ).toBe(guard)
  })
  test("clients use SCRAM where the keeper's own users do", () => {
    const scram = {
      ...settings,
      superuser: { ...settings.superuser, method: "scram-sha-256" } as const,
    }
    expect(hba({ settings: scram }).at(-1)).toBe("host all all ::0/0 scram-sha-256")
  })
})

describe("parameters of the specification", () => {
  const conf = (own: DB, change: Partial<Case> = {}): ReadonlyMap<string, string> =>
    parseConf(render(scene({ db: own, ...change }), "none", "none").files.conf)
  const asked = (entries: Record<string, string>): DB =>
    db("db1", { pgParameters: new Map(Object.entries(entries)) })

  test("D-48 what is managed or unknown to this version is left out and named", () => {
    const own = asked({
      wal_keep_segments: "5",
      port: "1",
      "bad name": "x",
      promote_trigger_file: "f",
      "stolon.revision": "1",
      work_mem: "8MB",
    })
    const named = ignoredParameters(scene({ db: own, machine: { ...emptyMachine, binary: 16 } }))
    expect(named.map(({ name }) => name)).toEqual([
      "bad name",
      "port",
      "promote_trigger_file",
      "stolon.revision",
      "wal_keep_segments",
    ])
    expect(conf(own).get("port")).toBe("5432")
    expect(conf(own).get("work_mem")).toBe("8MB")
  })
  test("D-49 there is room for every slot, and a user's larger value stays", () => {
    expect(
      conf(asked({ max_replication_slots: "50", max_wal_senders: "99" })).get(
        "max_replication_slots",
      ),
    ).toBe("50")
    expect(conf(asked({ max_wal_senders: "99" })).get("max_wal_senders")).toBe("99")
    const stoppedWithMany = {
      ...emptyMachine,
      data: dir("old", {
        files: { conf: "max_replication_slots = '40'\n", hba: "", signal: "none" },
      }),
    }
    expect(conf(asked({}), { machine: stoppedWithMany }).get("max_replication_slots")).toBe("40")
  })
  test("names differ from PostgreSQL's by case at most once", () => {
    const own = { ...asked({ DateStyle: "iso" }), uid: dbUID("db1") }
    const twice = {
      ...own,
      spec: {
        ...own.spec,
        pgParameters: new Map([
          ["DateStyle", "iso"],
          ["datestyle", "sql"],
        ]),
      },
    }
    expect([...conf(twice)].filter(([name]) => name === "datestyle")).toEqual([
      ["datestyle", "sql"],
    ])
  })
  test("wal_level is logical only when asked for", () => {
    expect(conf(asked({ wal_level: "logical" })).get("wal_level")).toBe("logical")
    expect(conf(asked({ wal_level: "minimal" })).get("wal_level")).toBe("replica")
  })
  test("PostgreSQL 12 gets wal_keep_segments", () => {
    const machine = { ...emptyMachine, binary: 12 }
    expect(conf(asked({ wal_keep_segments: "20" }), { machine }).get("wal_keep_segments")).toBe(
      "20",
    )
    expect(conf(asked({}), { machine }).get("wal_keep_segments")).toBe("8")
  })
  test("previous parameters count while the specification says so, without what is managed", () => {
    const initPGParameters = new Map([
      ["shared_buffers", "1GB"],
      ["recovery_target", "immediate"],
      ["port", "1"],
    ])
    const machine = { ...emptyMachine, db: { ...emptyMachine.db, initPGParameters } }
    const own = db("db1", { includePreviousConfig: true })
    expect(conf(own, { machine }).get("shared_buffers")).toBe("1GB")
    expect(conf(own, { machine }).has("recovery_target")).toBeFalse()
    expect(conf(db("db1"), { machine }).has("shared_buffers")).toBeFalse()
  })
  test("reportedParameters() says nothing that the keeper put there", () => {
    const own = { ...asked({ restart_after_crash: "on", work_mem: "1MB" }) }
    const file = conf({ ...own, spec: { ...own.spec, synchronousReplication: true } })
    expect([...reportedParameters(file, own)]).toEqual([
      ["restart_after_crash", "on"],
      ["wal_level", "replica"],
      ["work_mem", "1MB"],
    ])
    const plain = db("db1", { synchronousReplication: true })
    expect([...reportedParameters(conf(plain), plain)]).toEqual([["wal_level", "replica"]])
  })
})

test("the temporary configuration includes the instance's own, listens nowhere and names itself", () => {
  const pitr = {
    dataRestoreCommand: "x",
    archiveRecoverySettings: { restoreCommand: "cp 'a' %p" },
    recoveryTargetSettings: {
      recoveryTarget: "immediate",
      recoveryTargetLsn: "",
      recoveryTargetName: "",
      recoveryTargetTime: "",
      recoveryTargetXid: "",
      recoveryTargetTimeline: "",
    },
  }
  const text = renderTemporary(scene({ db: db("db1") }), pitr)
  expect(text.split("\n")[0]).toBe("include_if_exists 'postgresql.conf'")
  const all = parseConf(text)
  expect(all.get("listen_addresses")).toBe("")
  expect(all.get("stolon.revision")).toBe("temporary")
  expect(all.get("restore_command")).toBe("cp 'a' %p")
  expect(all.get("recovery_target_action")).toBe("promote")
  expect(all.has("recovery_target_timeline")).toBeFalse()
})

test("revisionOf() tells contents apart, wherever their border is", () => {
  expect(revisionOf("ab", "c")).not.toBe(revisionOf("a", "bc"))
  expect(revisionOf("ab", "c")).toBe(revisionOf("ab", "c"))
})

test("render() never answers with what it made for another role, address or server", () => {
  const own = db("a1", followsOther)
  const standby = scene({ db: own, dbs: [other()] })
  const { want, local, settings: told } = standby
  const { role } = want
  if (role.kind !== "internal") throw new Error(`a standby was expected, not ${role.kind}`)
  const conf = (changed: Scene): string => render(changed, "none", "standby").files.conf
  const moved = { ...role.followed, status: { ...role.followed.status, port: "7777" } }
  const scenes: readonly Scene[] = [
    standby,
    { ...standby, want: { ...want, role: { ...role, letGo: epoch("e1") } } },
    { ...standby, want: { ...want, role: { ...role, followed: moved } } },
    { ...standby, settings: { ...told, port: "7778" } },
    { ...standby, settings: { ...told, replication: { ...told.replication, name: "another" } } },
    { ...standby, local: { ...local, diskBytes: 2 ** 34 } },
  ]
  const first = scenes.map(conf)
  expect(new Set(first).size).toBe(scenes.length)
  expect(scenes.map(conf)).toEqual(first)
})
