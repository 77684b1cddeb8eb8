/**
 * The keeper's flags (reference 1.4). Names, types and defaults are Go stolon's; rules on texts are
 * ours and hold in the stolon dialect only. What is checked across flags is `keeper-checks.ts`.
 */
import { debugFlag, portRule, serviceFlags, storeFlags, zoneRule } from "./common.ts"
import { command, table } from "./flag.ts"
import { peerFlags } from "./peer.ts"

const keeper = "Keeper"
const postgres = "PostgreSQL"
const replication = "PostgreSQL: replication user"
const superuser = "PostgreSQL: superuser"

const method = (text: string): string | null =>
  text === "md5" || text === "scram-sha-256" || text === "trust"
    ? null
    : "expected md5, scram-sha-256 or trust"
const uid = (text: string): string | null =>
  /^[a-z0-9_-]+$/.test(text)
    ? null
    : "expected lower-case letters, digits, underscores and hyphens only"

export const keeperFlags = table({
  uid: {
    type: "string",
    group: keeper,
    placeholder: "UID",
    rule: uid,
    aliases: [{ name: "id", deprecated: "please use --uid" }],
    doc: "name of this keeper in the cluster; empty: a random one, kept in the data directory",
  },
  "data-dir": {
    type: "string",
    required: true,
    group: keeper,
    placeholder: "DIR",
    doc: "directory of the keeper; PostgreSQL's data directory lies below it",
  },
  "can-be-master": {
    type: "bool",
    default: true,
    group: keeper,
    doc: "whether this keeper's PostgreSQL may become the primary",
  },
  "can-be-synchronous-replica": {
    type: "bool",
    default: true,
    group: keeper,
    doc: "whether this keeper's PostgreSQL may be chosen as synchronous standby",
  },
  zone: {
    type: "string",
    only: "stolon",
    group: keeper,
    placeholder: "NAME",
    rule: zoneRule,
    doc: "where this machine is; proxies of the same zone prefer it for reads",
  },
  "dry-run": {
    type: "bool",
    env: "none",
    only: "stolon",
    group: keeper,
    doc: "print what the keeper would do now, and end; nothing is changed",
  },
  "disable-data-dir-locking": {
    type: "bool",
    group: keeper,
    doc: "do not lock the data directory (only where its filesystem cannot)",
  },
  "pg-listen-address": {
    type: "string",
    required: true,
    group: postgres,
    placeholder: "ADDR",
    doc: "address PostgreSQL listens on",
  },
  "pg-port": {
    type: "string",
    default: "5432",
    group: postgres,
    placeholder: "PORT",
    rule: portRule,
    doc: "port PostgreSQL listens on",
  },
  "pg-advertise-address": {
    type: "string",
    group: postgres,
    placeholder: "ADDR",
    doc: "address at which others reach this PostgreSQL; empty: the listen address",
  },
  "pg-advertise-port": {
    type: "string",
    group: postgres,
    placeholder: "PORT",
    rule: portRule,
    doc: "port at which others reach this PostgreSQL; empty: the listen port",
  },
  "pg-bin-path": {
    type: "string",
    group: postgres,
    placeholder: "DIR",
    doc: "directory of the PostgreSQL programs; empty: those in PATH",
  },
  "pg-repl-auth-method": {
    type: "string",
    default: "md5",
    better: "scram-sha-256",
    group: replication,
    placeholder: "METHOD",
    rule: method,
    doc: "how the replication user proves itself: md5, scram-sha-256 or trust",
  },
  "pg-repl-username": {
    type: "string",
    required: true,
    group: replication,
    placeholder: "NAME",
    doc: "replication user; made by the keeper",
  },
  "pg-repl-password": {
    type: "string",
    group: replication,
    placeholder: "PASSWORD",
    secret: true,
    conflicts: ["pg-repl-passwordfile"],
    doc: "its password; prefer --pg-repl-passwordfile, arguments are visible in ps",
  },
  "pg-repl-passwordfile": {
    type: "string",
    group: replication,
    placeholder: "FILE",
    doc: "file that holds its password",
  },
  "pg-su-auth-method": {
    type: "string",
    default: "md5",
    better: "scram-sha-256",
    group: superuser,
    placeholder: "METHOD",
    rule: method,
    doc: "how the superuser proves itself: md5, scram-sha-256 or trust",
  },
  "pg-su-username": {
    type: "string",
    group: superuser,
    placeholder: "NAME",
    doc: "superuser of PostgreSQL; not set: the user this program runs as",
  },
  "pg-su-password": {
    type: "string",
    group: superuser,
    placeholder: "PASSWORD",
    secret: true,
    conflicts: ["pg-su-passwordfile"],
    doc: "its password; prefer --pg-su-passwordfile, arguments are visible in ps",
  },
  "pg-su-passwordfile": {
    type: "string",
    group: superuser,
    placeholder: "FILE",
    doc: "file that holds its password",
  },
})

export const keeperCommand = command({
  name: "keeper",
  summary: "run PostgreSQL on this machine as the cluster wants it",
  about: [
    "A keeper owns one PostgreSQL instance: it initialises, starts, stops, promotes and resynchronises it as the sentinel's",
    "decisions in the store say. Run one per machine, as an unprivileged user (PostgreSQL refuses to run as root).",
  ],
  prefix: "STKEEPER",
  flags: { ...storeFlags, ...keeperFlags, ...peerFlags, ...serviceFlags, ...debugFlag },
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: true,
  goSummary: "",
  examples: [
    {
      line:
        "stolon keeper --cluster-name prod --store-backend etcdv3 --uid pg1 --data-dir /var/lib/stolon/pg1" +
        " --pg-listen-address 10.0.0.11 --pg-repl-username repl --pg-repl-passwordfile /etc/stolon/repl" +
        " --pg-su-passwordfile /etc/stolon/su",
      doc: "the keeper of a machine with address 10.0.0.11, passwords from files",
    },
    {
      line: "STKEEPER_PG_SU_PASSWORDFILE=/etc/stolon/su stolon keeper …",
      doc: "any flag from the environment",
    },
  ],
})
