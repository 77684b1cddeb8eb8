/**
 * `ctl store migrate`: two stores in one command line. The ordinary store flags say where the
 * cluster is, `--to` and its companions where it shall be; `--from` is a short form of the former.
 */
import { storeFlags } from "./common.ts"
import { dryRun, yesHere } from "./ctl-changes.ts"
import { sub } from "./ctl.ts"
import type { ctlGlobals } from "./ctl-globals.ts"
import { type Values, table } from "./flag.ts"
import { type StoreCheck, backends, checkStore } from "./store.ts"

const own = "Command"
const target = "The new store"

/** `etcdv3=http://10.0.0.1:2379,http://10.0.0.2:2379` */
interface Place {
  readonly backend: string
  readonly endpoints: readonly string[]
}
function placeOf(text: string): Place {
  const at = text.indexOf("=")
  const [backend, rest] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
  return { backend, endpoints: rest.split(",").filter((one) => one !== "") }
}
const placeRule = (text: string): string | null =>
  ["etcd", ...backends].includes(placeOf(text).backend)
    ? null
    : `expected KIND or KIND=ENDPOINT,… with KIND one of ${backends.join(", ")}`

const migrateFlags = table({
  from: {
    type: "string",
    env: "none",
    group: own,
    placeholder: "KIND[=URL,…]",
    rule: placeRule,
    doc: "the store that the cluster is in; the same as --store-backend and --store-endpoints",
  },
  to: {
    type: "string",
    required: true,
    env: "none",
    group: target,
    placeholder: "KIND[=URL,…]",
    rule: placeRule,
    doc: "the store that it moves to",
  },
  "to-prefix": {
    type: "string",
    default: storeFlags["store-prefix"].default,
    env: "none",
    group: target,
    placeholder: "PATH",
    doc: "its --store-prefix",
  },
  "to-user": {
    type: "string",
    env: "none",
    group: target,
    placeholder: "NAME",
    doc: "its --store-user",
  },
  "to-passwordfile": {
    type: "string",
    env: "none",
    group: target,
    placeholder: "FILE",
    doc: "file with its --store-password",
  },
  "to-cert-file": {
    type: "string",
    env: "none",
    group: target,
    placeholder: "FILE",
    doc: "its --store-cert-file",
  },
  "to-key": {
    type: "string",
    env: "none",
    group: target,
    placeholder: "FILE",
    doc: "its --store-key",
  },
  "to-ca-file": {
    type: "string",
    env: "none",
    group: target,
    placeholder: "FILE",
    doc: "its --store-ca-file",
  },
  "to-skip-tls-verify": {
    type: "bool",
    env: "none",
    group: target,
    doc: "its --store-skip-tls-verify (insecure)",
  },
  timeout: {
    type: "duration",
    default: "1h",
    env: "none",
    group: own,
    doc: "how long to wait for everybody to come; called again it goes on where it was",
  },
  "no-wait": {
    type: "bool",
    env: "none",
    group: own,
    conflicts: ["timeout", "finish"],
    doc: "return once both stores are marked; call it again to end the move",
  },
  finish: {
    type: "bool",
    env: "none",
    group: own,
    conflicts: ["cancel"],
    doc: "wait for nobody who has not come: a keeper whose machine is gone, for example",
  },
  cancel: {
    type: "bool",
    env: "none",
    group: own,
    conflicts: ["no-wait"],
    doc: "end the move where it began; waits until everybody is back there",
  },
  ...yesHere,
  ...dryRun,
})

export const storeCommand = sub({
  name: "store",
  summary: "move a cluster to another store",
  flags: {},
  examples: [],
  extension: true,
})

export const migrateCommand = sub({
  name: "migrate",
  summary: "move a running cluster from one store to another",
  about: [
    "Copies the cluster data, marks them in both stores, tells in which order to start components with the new store, waits until all",
    "have come, and then shuts the old one. PostgreSQL goes on meanwhile and clients are served; nobody is replaced until the move has",
    "ended, and nothing else of the cluster can be changed. Refused while components of Go stolon are alive.",
    "It may be interrupted at any point: called again it goes on where it was.",
  ],
  flags: migrateFlags,
  examples: [
    {
      line: "stolon ctl store migrate --from etcdv2=http://10.0.0.1:2379 --to etcdv3=http://10.0.0.1:2379",
      doc: "to the third API of the same etcd",
    },
    {
      line: "stolon ctl store migrate --from consul --to etcdv3=http://10.0.0.1:2379 --dry-run",
      doc: "whether it could, and what would be done",
    },
  ],
  extension: true,
})

type Given = Values<typeof migrateFlags & typeof ctlGlobals>

/** The store flags with `--from` in their place. */
export function fromFlags<V extends Given>(values: V): V {
  if (values.from === "") return values
  const { backend, endpoints } = placeOf(values.from)
  return { ...values, storeBackend: backend, storeEndpoints: endpoints }
}

/**
 * Where it goes; the cluster keeps its name.
 *
 * @param password From the file that the flags name.
 */
export function checkTarget(values: Given, password: string): StoreCheck {
  if (values.to === "")
    return { kind: "refused", message: "--to is required: the store that the cluster moves to" }
  const { backend, endpoints } = placeOf(values.to)
  const there = {
    ...values,
    storeBackend: backend,
    storeEndpoints: endpoints,
    storePrefix: values.toPrefix,
    storeUser: values.toUser,
    storePassword: password,
    storeCertFile: values.toCertFile,
    storeKey: values.toKey,
    storeCaFile: values.toCaFile,
    storeSkipTlsVerify: values.toSkipTlsVerify,
  }
  return checkStore(there, "stolon")
}
