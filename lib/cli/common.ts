/**
 * Flags that every command has: which cluster, which store, how to log. The names, types and
 * defaults are Go stolon's (reference 1.3); what is ours is marked `extension`.
 *
 * Their environment variables exist twice, `STKEEPER_STORE_BACKEND` and, read after it,
 * `STOLON_STORE_BACKEND`, so that one environment file serves all components of a machine (protocol
 * part 8).
 */
import { table } from "./flag.ts"

const cluster = "Cluster and store"
const tls = "Store over TLS"
const logging = "Logging and metrics"

const clusterName = (text: string): string | null =>
  /^[^\s/\0]+$/.test(text) && text !== "." && text !== ".."
    ? null
    : "expected a name without slashes and blanks"

/** A port number as text, which is how Go stolon takes it. */
export const portRule = (text: string): string | null =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535
    ? null
    : "expected a port number from 1 to 65535"

/** A place that machines share, such as a data centre. */
export const zoneRule = (text: string): string | null =>
  /^[\w.:-]{0,63}$/.test(text)
    ? null
    : "expected at most 63 letters, digits, dots, colons, hyphens and underscores"

export const storeFlags = table({
  "cluster-name": {
    type: "string",
    required: true,
    env: "common",
    group: cluster,
    placeholder: "NAME",
    rule: clusterName,
    doc: "cluster name; several clusters can share a store",
  },
  "store-backend": {
    type: "string",
    required: true,
    env: "common",
    group: cluster,
    placeholder: "KIND",
    doc: "store backend: etcdv3, consul, kubernetes, sqlite for a cluster on one machine, or etcdv2 for one to move away from",
  },
  "store-endpoints": {
    type: "list",
    env: "common",
    group: cluster,
    placeholder: "URL[,URL]",
    doc: "where the store is; a file for sqlite; empty: the etcd of this machine",
  },
  "store-prefix": {
    type: "string",
    default: "stolon/cluster",
    env: "common",
    group: cluster,
    placeholder: "PATH",
    doc: "base path of the clusters in the store",
  },
  "store-timeout": {
    type: "duration",
    default: "5s",
    env: "common",
    group: cluster,
    doc: "longest time for one request to the store",
  },
  "store-user": {
    type: "string",
    env: "common",
    extension: true,
    group: cluster,
    placeholder: "NAME",
    doc: "user of an etcd with authentication",
  },
  "store-password": {
    type: "string",
    env: "common",
    extension: true,
    secret: true,
    group: cluster,
    placeholder: "PASSWORD",
    doc: "password of --store-user; prefer the environment, arguments are visible in ps",
  },
  "kube-resource-kind": {
    type: "string",
    env: "common",
    group: cluster,
    placeholder: "configmap",
    doc: "kind of the Kubernetes resource that holds the cluster; must be configmap",
  },
  "store-cert-file": {
    type: "string",
    env: "common",
    group: tls,
    placeholder: "FILE",
    doc: "client certificate; used together with --store-key",
  },
  "store-key": {
    type: "string",
    env: "common",
    group: tls,
    placeholder: "FILE",
    doc: "private key of the client certificate",
  },
  "store-ca-file": {
    type: "string",
    env: "common",
    group: tls,
    placeholder: "FILE",
    doc: "certificates of the authorities to trust instead of the system's",
  },
  "store-skip-tls-verify": {
    type: "bool",
    env: "common",
    group: tls,
    doc: "do not verify the store's certificate (insecure)",
  },
})

const levels = ["debug", "info", "warn", "error"] as const

/** Logging and metrics of the long-running commands. */
export const serviceFlags = table({
  "log-level": {
    type: "choice",
    choices: levels,
    default: "info",
    goInvalid: "invalid log level: ",
    env: "common",
    group: logging,
    placeholder: "LEVEL",
    doc: "least severe level to log: debug, info, warn or error",
  },
  "log-color": {
    type: "bool",
    env: "common",
    group: logging,
    doc: "colour log lines; not set: colour on a terminal only",
  },
  "log-format": {
    type: "choice",
    choices: ["text", "json"],
    default: "text",
    goInvalid: "invalid --log-format: ",
    env: "common",
    extension: true,
    group: logging,
    placeholder: "FORMAT",
    doc: "text for people, json for machines (one object a line)",
  },
  "metrics-listen-address": {
    type: "string",
    env: "common",
    group: logging,
    placeholder: "ADDR:PORT",
    doc: "where to serve Prometheus metrics; empty: nowhere",
  },
})

/** Go's way to say `--log-level=debug`. */
export const debugFlag = table({
  debug: {
    type: "bool",
    group: logging,
    deprecated: "use --log-level=debug instead",
    doc: "log at level debug",
  },
})

export type LogLevel = (typeof levels)[number]
/** What a logger needs to know. */
export interface LogSettings {
  readonly level: LogLevel
  readonly format: "text" | "json"
  readonly color: boolean
}

/** How to log: colour only when asked for, or on a terminal; never in JSON. */
export function logSettings(
  values: {
    readonly logLevel: LogLevel
    readonly logFormat: "text" | "json"
    readonly logColor: boolean
    readonly debug?: boolean
  },
  changed: ReadonlyMap<string, string>,
  terminal: boolean,
): LogSettings {
  const wanted = changed.has("log-color") ? values.logColor : terminal
  return {
    level: values.debug === true ? "debug" : values.logLevel,
    format: values.logFormat,
    color: wanted && values.logFormat === "text",
  }
}
