/**
 * The proxy's flags (reference 1.6). An address that cannot be listened on is no error of flags:
 * the proxy tries again for ever.
 */
import { debugFlag, portRule, serviceFlags, storeFlags } from "./common.ts"
import { command, table } from "./flag.ts"

const listening = "Clients"
const holding = "Clients while there is no primary"
const keepalive = "TCP keepalive of clients"

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
    "the primary changes; new clients wait for the next one. Run one wherever clients are.",
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
  ],
})
