/**
 * Flags of `stolon dev`, the whole cluster in one command on one machine. It brings its own store,
 * so it takes no store flags.
 */
import { portRule } from "./common.ts"
import { command, table } from "./flag.ts"

const cluster = "Cluster"
const machine = "This machine"

const clusterName = (text: string): string | null =>
  /^[A-Za-z0-9_-]+$/.test(text) ? null : "expected letters, digits, underscores and hyphens"

export const devFlags = table({
  keepers: {
    type: "int",
    default: 3,
    min: 1,
    group: cluster,
    placeholder: "N",
    doc: "how many keepers, each with its own PostgreSQL",
  },
  sentinels: {
    type: "int",
    default: 2,
    min: 1,
    group: cluster,
    placeholder: "N",
    doc: "how many sentinels; one leads, the others take over",
  },
  "store-backend": {
    type: "choice",
    choices: ["sqlite", "etcdv3"],
    default: "sqlite",
    goInvalid: null,
    group: cluster,
    placeholder: "KIND",
    doc: "sqlite, or etcdv3: starts the etcd found in PATH",
  },
  "cluster-name": {
    type: "string",
    default: "dev",
    group: cluster,
    placeholder: "NAME",
    rule: clusterName,
    doc: "name of the cluster in the store",
  },
  sync: {
    type: "bool",
    group: cluster,
    doc: "begin with synchronous replication (only when the cluster is new)",
  },
  dir: {
    type: "string",
    group: machine,
    placeholder: "DIR",
    doc: "where everything is kept; empty: stolon/dev in the user's state, /var/lib/stolon/dev for root",
  },
  port: {
    type: "string",
    group: machine,
    placeholder: "PORT",
    rule: portRule,
    doc: "port of the proxy; empty: the last one used, else 5432, else the next free one",
  },
  "pg-bin-path": {
    type: "string",
    group: machine,
    placeholder: "DIR",
    doc: "directory of the PostgreSQL programs; empty: those in PATH, else the newest installed",
  },
  "log-level": {
    type: "choice",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    goInvalid: null,
    group: machine,
    placeholder: "LEVEL",
    doc: "least severe level in the log files of the parts",
  },
})

export const devCommand = command({
  name: "dev",
  summary: "run a whole cluster on this machine, to use and to break",
  about: [
    "Starts keepers, sentinels, a proxy and a store, each its own process, and shows what they do. What dies is started again,",
    "so kill what you like. Ctrl-C stops everything; the same command goes on with the same data.",
    "As root it becomes the user postgres first, because PostgreSQL refuses to run as root.",
  ],
  prefix: "STDEV",
  flags: devFlags,
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: false,
  examples: [
    { line: "stolon dev", doc: "three PostgreSQL, two sentinels, a proxy on port 5432" },
    {
      line: "stolon dev --store-backend etcdv3 --sync",
      doc: "on etcd, commits wait for a standby",
    },
    { line: "stolon dev --dir /tmp/try --port 6000", doc: "another one beside it" },
  ],
})
