/**
 * Flags of `ctl register` and what is checked of them before anything is connected to (reference
 * 1.7), in Go's order and with its texts. What is registered is decided in `#ctl/register.ts`.
 */
import { type Millis, millis } from "#base/brand.ts"
import { goQuote } from "#base/text.ts"
import { ctlGlobals } from "./ctl-globals.ts"
import { type Dialect, type Values, command, table } from "./flag.ts"

const consul = "Consul"
const tags = "What is registered"
const levels = ["debug", "info", "warn", "error"] as const

export const registerFlags = table({
  "register-backend": {
    type: "string",
    default: "consul",
    env: "none",
    group: consul,
    placeholder: "KIND",
    doc: "service registry to register in; consul",
  },
  "register-endpoints": {
    type: "string",
    default: "http://127.0.0.1:8500",
    env: "none",
    group: consul,
    placeholder: "URL",
    doc: "where the Consul agent is; one URL",
  },
  "register-cert-file": {
    type: "string",
    env: "none",
    group: consul,
    placeholder: "FILE",
    doc: "client certificate for the agent; used together with --register-key",
  },
  "register-key": {
    type: "string",
    env: "none",
    group: consul,
    placeholder: "FILE",
    doc: "private key of the client certificate",
  },
  "register-ca-file": {
    type: "string",
    env: "none",
    group: consul,
    placeholder: "FILE",
    doc: "certificates of the authorities to trust instead of the system's",
  },
  "register-skip-tls-verify": {
    type: "bool",
    env: "none",
    group: consul,
    doc: "do not verify the agent's certificate (insecure)",
  },
  "register-master": {
    type: "bool",
    env: "none",
    group: tags,
    doc: "register the primary too, not only standbys; clients should rather use a proxy",
  },
  "tag-master-as": {
    type: "string",
    default: "master",
    env: "none",
    group: tags,
    placeholder: "TAG[,TAG]",
    doc: "tags of the primary",
  },
  "tag-slave-as": {
    type: "string",
    default: "slave",
    env: "none",
    group: tags,
    placeholder: "TAG[,TAG]",
    doc: "tags of standbys",
  },
  "sleep-interval": {
    type: "int",
    default: 10,
    min: 1,
    env: "none",
    group: tags,
    placeholder: "SECONDS",
    doc: "pause between two rounds",
  },
  "dry-run": {
    type: "bool",
    env: "none",
    extension: true,
    group: tags,
    doc: "print what would be registered now, one request a line, and connect to no Consul",
  },
  debug: {
    type: "bool",
    env: "none",
    group: "Logging",
    doc: "log at level debug",
  },
})

export const registerCommand = command({
  name: "register",
  summary: "keep the cluster's databases registered in Consul",
  goSummary: "Register stolon keepers for service discovery",
  about: [
    "Runs until it is ended: every few seconds it compares what the Consul agent has under the cluster's name with the healthy",
    "databases of the cluster, and registers and removes services until they agree.",
  ],
  prefix: "STOLONCTL",
  flags: {
    ...registerFlags,
    ...ctlGlobals,
    // Go checks this word here, after the store's flags, and answers in plain text
    "log-level": {
      type: "string",
      default: "info",
      env: "common",
      group: "Logging",
      placeholder: "LEVEL",
      rule: (text: string) =>
        levels.some((level) => level === text) ? null : "expected debug, info, warn or error",
      doc: "least severe level to log: debug, info, warn or error",
    },
  },
  inherited: Object.keys(ctlGlobals),
  positionals: { usage: "", max: 0 },
  goVersion: true,
  examples: [
    {
      line: "stolon ctl register --register-master --dry-run",
      doc: "the requests that a registry without this cluster would get",
    },
    {
      line: "stolon ctl register --register-master --tag-master-as primary",
      doc: "standbys tagged slave and the primary tagged primary",
    },
  ],
})

/** Where and as what databases are registered. */
export interface RegisterChoice {
  readonly endpoint: URL
  readonly tls: {
    readonly certFile: string
    readonly keyFile: string
    readonly caFile: string
    readonly skipVerify: boolean
  }
  readonly master: boolean
  readonly masterTags: readonly string[]
  readonly standbyTags: readonly string[]
  readonly pause: Millis
  readonly level: (typeof levels)[number]
}
export type RegisterCheck =
  | { readonly kind: "ok"; readonly choice: RegisterChoice }
  | { readonly kind: "refused"; readonly message: string }

/** What Go's `register` checks, in its order; the common flags come before. */
export function checkRegister(
  values: Values<(typeof registerCommand)["flags"]>,
  dialect: Dialect,
): RegisterCheck {
  const refused = (message: string): RegisterCheck => ({ kind: "refused", message })
  const level = levels.find((name) => name === values.logLevel)
  if (level === undefined) return refused(`invalid log level: ${values.logLevel}`)
  if (values.registerBackend !== "consul")
    return refused(`unknown register backend: ${goQuote(values.registerBackend)}`)
  const typed = values.registerEndpoints || registerFlags["register-endpoints"].default
  if (typed.includes(",")) return refused(`consul does not support multiple endpoints: ${typed}`)
  if ((values.registerCertFile === "") !== (values.registerKey === ""))
    return refused("both client cert and client key must be provided")
  const endpoint = parseEndpoint(typed, dialect)
  if (typeof endpoint === "string") return refused(endpoint)
  return {
    kind: "ok",
    choice: {
      endpoint,
      tls: {
        certFile: values.registerCertFile,
        keyFile: values.registerKey,
        caFile: values.registerCaFile,
        skipVerify: values.registerSkipTlsVerify,
      },
      master: values.registerMaster,
      masterTags: values.tagMasterAs.split(","),
      standbyTags: values.tagSlaveAs.split(","),
      pause: millis(values.sleepInterval * 1000),
      level,
    },
  }
}

/** The URL, or what is wrong with it. */
function parseEndpoint(typed: string, dialect: Dialect): URL | string {
  // Go's parser takes what stands before the colon for a path
  if (dialect === "go" && /^[^a-zA-Z/?#][^/?#]*:/.test(typed))
    return `parse ${goQuote(typed)}: first path segment in URL cannot contain colon`
  const url = URL.canParse(typed) ? new URL(typed) : null
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return url
  return `--register-endpoints ${goQuote(typed)}: expected a URL such as http://127.0.0.1:8500`
}
