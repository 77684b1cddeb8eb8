/**
 * The proxy's flags (reference 1.6). An address that cannot be listened on is no error of flags:
 * the proxy tries again for ever.
 */
import { debugFlag, portRule, serviceFlags, storeFlags, zoneRule } from "./common.ts"
import { command, table } from "./flag.ts"

const listening = "Clients"
const holding = "Clients while there is no primary"
const reading = "Reads on standbys"
const keepalive = "TCP connections that have died"

/** `64MB` to bytes, in PostgreSQL's units; null: it cannot be read. */
export function sizeOf(text: string): bigint | null {
  const match = /^(\d{1,12})(B|kB|MB|GB|TB)?$/.exec(text)
  const unit = ["B", "kB", "MB", "GB", "TB"].indexOf(match?.[2] ?? "B")
  return match === null ? null : BigInt(match[1] ?? "0") << BigInt(10 * unit)
}
const size = (text: string): string | null =>
  sizeOf(text) === null ? "expected a size such as 64MB, 512kB or 1GB, or 0" : null

export const proxyFlags = table({
  "listen-address": {
    type: "string",
    default: "127.0.0.1",
    group: listening,
    placeholder: "ADDR",
    doc: "address for clients",
  },
  port: {
    type: "string",
    default: "5432",
    group: listening,
    placeholder: "PORT",
    rule: portRule,
    doc: "port for clients; leads to the primary",
  },
  "stop-listening": {
    type: "bool",
    default: true,
    group: listening,
    doc: "close the port while the store cannot be read for longer than proxyTimeout",
  },
  "shutdown-timeout": {
    type: "duration",
    default: "10s",
    only: "stolon",
    group: listening,
    doc: "how long sessions may take to become idle when the proxy is asked to end (SIGTERM); the rest is cut",
  },
  "max-connections": {
    type: "int",
    default: 0,
    min: 0,
    only: "stolon",
    group: listening,
    placeholder: "N",
    doc: "connections of clients on each port, those that wait included; the next is told 53300; 0: as many as there are descriptors",
  },
  "accept-proxy-protocol": {
    type: "bool",
    default: false,
    only: "stolon",
    group: listening,
    doc: "a load balancer in front says where each client comes from (PROXY protocol 1 or 2); clients without it are closed",
  },
  workers: {
    type: "int",
    default: 1,
    min: 1,
    only: "stolon",
    group: listening,
    placeholder: "N",
    doc: "processes that forward; one keeps a core busy, more use more cores",
  },
  "hold-timeout": {
    type: "duration",
    default: "30s",
    only: "stolon",
    group: holding,
    doc: "how long a new client waits for a primary before it is told that there is none",
  },
  "hold-max": {
    type: "int",
    default: 10_000,
    min: 0,
    only: "stolon",
    group: holding,
    placeholder: "N",
    doc: "how many clients may wait; the next ones are told at once",
  },
  "read-only-port": {
    type: "string",
    only: "stolon",
    group: reading,
    placeholder: "PORT",
    rule: portRule,
    doc: "port for sessions that only read; leads to standbys; empty: there is none",
  },
  "read-only-policy": {
    type: "choice",
    choices: ["least-lag", "round-robin", "synchronous"],
    default: "least-lag",
    goInvalid: null,
    only: "stolon",
    group: reading,
    placeholder: "POLICY",
    doc: "which standby: the least behind, each in turn, or in turn those that every commit waits for",
  },
  "max-lag": {
    type: "string",
    default: "64MB",
    only: "stolon",
    group: reading,
    placeholder: "SIZE",
    rule: size,
    doc: "how much WAL a standby's readers may not see yet; reads leave one further behind; 0: any",
  },
  "fallback-primary": {
    type: "bool",
    default: true,
    only: "stolon",
    group: reading,
    doc: "lead new sessions to the primary while no standby is fit; false: they wait for one",
  },
  zone: {
    type: "string",
    only: "stolon",
    group: reading,
    placeholder: "NAME",
    rule: zoneRule,
    doc: "where this proxy is; standbys whose keeper names the same zone come first",
  },
  "tcp-keepalive-idle": {
    type: "int",
    default: 0,
    min: 0,
    group: keepalive,
    placeholder: "SECONDS",
    doc: "silence before the first probe; 0: the system's default",
  },
  "tcp-keepalive-count": {
    type: "int",
    default: 0,
    min: 0,
    group: keepalive,
    placeholder: "N",
    doc: "unanswered probes before the connection is given up; 0: the system's default",
  },
  "tcp-user-timeout": {
    type: "duration",
    default: "0s",
    only: "stolon",
    group: keepalive,
    doc: "how long a client or a server may leave bytes unacknowledged before its connection is given up; 0: the system's default, about 15 minutes",
  },
  "tcp-keepalive-interval": {
    type: "int",
    default: 0,
    min: 0,
    group: keepalive,
    placeholder: "SECONDS",
    doc: "pause between probes; 0: the system's default",
  },
})

export const proxyCommand = command({
  name: "proxy",
  summary: "lead clients to the primary, and to nobody else",
  about: [
    "Clients connect to a proxy as if it were PostgreSQL. It forwards to the current primary only, and cuts every connection when",
    "the primary changes; new clients wait for the next one. A second port, --read-only-port, leads to standbys. Run one wherever",
    "clients are.",
  ],
  prefix: "STPROXY",
  flags: { ...storeFlags, ...proxyFlags, ...serviceFlags, ...debugFlag },
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: true,
  goSummary: "",
  examples: [
    {
      line: "stolon proxy --cluster-name prod --store-backend etcdv3 --listen-address 0.0.0.0 --port 25432",
      doc: "clients of this machine and others connect to port 25432",
    },
    {
      line: "stolon proxy --cluster-name prod --store-backend etcdv3 --port 25432 --read-only-port 25433 --zone east",
      doc: "sessions that only read connect to port 25433, and are led to standbys of zone east first",
    },
  ],
})
