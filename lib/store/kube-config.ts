/**
 * Which API server to ask, and as whom, with the precedence of Go stolon (reference 3.5):
 * `--kubeconfig`, then `KUBECONFIG` (several files, merged), then `~/.kube/config`, and only where
 * these yield nothing the service account of the pod.
 *
 * Nothing is asked of the server here. A service account's token is read again for every request,
 * since it is rotated under a running process. Programs that a kubeconfig names to get credentials
 * are refused and never run: a database must not depend on a person's login helper.
 */
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, isAbsolute, join } from "node:path"
import * as v from "valibot"
import { StoreError } from "#port/store.ts"
import { fileTrouble } from "#system/errno.ts"

export interface KubeTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly serverName?: string
  readonly rejectUnauthorized: boolean
}
export interface KubeConfig {
  /** Without a slash at the end. */
  readonly server: string
  readonly namespace: string
  readonly tls: KubeTls
  /** The header of the next request; null without a name. */
  readonly authorization: () => string | null
}
/** What flags say; empty: not said. */
export interface KubeFlags {
  readonly kubeconfig: string
  readonly context: string
  readonly namespace: string
}
type Environment = Readonly<Record<string, string | undefined>>

const accountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

export function kubeConfig(
  flags: KubeFlags,
  env: Environment,
  directory: string = accountDirectory,
): KubeConfig {
  const merged = kubeconfigs(flags.kubeconfig, env)
  const found = merged === null ? null : fromKubeconfig(merged, flags.context)
  if (found === null && flags.context !== "") throw noContext(flags.context)
  const config = found ?? fromPod(env, directory) ?? nowhere
  return flags.namespace === "" ? config : { ...config, namespace: flags.namespace }
}

/** Where Go's client looks when nothing tells it where: `kubectl proxy` listens somewhere alike. */
const nowhere: KubeConfig = {
  server: "http://localhost:8080",
  namespace: "default",
  tls: { rejectUnauthorized: true },
  authorization: () => null,
}

const invalid = (why: string): StoreError => new StoreError("invalid", why)
const noContext = (name: string): StoreError => invalid(`context "${name}" does not exist`)

function fromPod(env: Environment, directory: string): KubeConfig | null {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? ""
  const port = env["KUBERNETES_SERVICE_PORT"] ?? ""
  const token = join(directory, "token")
  if (host === "" || port === "" || readIfThere(token) === null) return null
  const space = env["POD_NAMESPACE"] || readIfThere(join(directory, "namespace"))?.trim()
  const ca = readIfThere(join(directory, "ca.crt"))
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: space || "default",
    tls: { rejectUnauthorized: true, ...(ca === null ? {} : { ca }) },
    authorization: () => `Bearer ${readNow(token).trim()}`,
  }
}

const optionalText = v.optional(v.nullable(v.string()), "")
const Named = <T extends v.GenericSchema>(key: string, inner: T) =>
  v.optional(v.nullable(v.array(v.object({ name: v.string(), [key]: inner }))), [])
const Context = v.object({
  cluster: optionalText,
  user: optionalText,
  namespace: optionalText,
})
const Cluster = v.object({
  server: optionalText,
  "certificate-authority": optionalText,
  "certificate-authority-data": optionalText,
  "tls-server-name": optionalText,
  "insecure-skip-tls-verify": v.optional(v.nullable(v.boolean()), false),
})
const User = v.object({
  "client-certificate": optionalText,
  "client-certificate-data": optionalText,
  "client-key": optionalText,
  "client-key-data": optionalText,
  token: optionalText,
  tokenFile: optionalText,
  username: optionalText,
  password: optionalText,
  exec: v.optional(v.unknown()),
  "auth-provider": v.optional(v.unknown()),
})
const Kubeconfig = v.object({
  "current-context": optionalText,
  contexts: Named("context", v.optional(v.nullable(Context), {})),
  clusters: Named("cluster", v.optional(v.nullable(Cluster), {})),
  users: Named("user", v.optional(v.nullable(User), {})),
})

/** One value and the file that said it: paths in it are relative to that file. */
interface Said<T> {
  readonly value: T
  readonly file: string
}
interface Merged {
  readonly current: string
  readonly contexts: ReadonlyMap<string, Said<v.InferOutput<typeof Context>>>
  readonly clusters: ReadonlyMap<string, Said<v.InferOutput<typeof Cluster>>>
  readonly users: ReadonlyMap<string, Said<v.InferOutput<typeof User>>>
}

/** Null: there is no file that says anything. */
function kubeconfigs(typed: string, env: Environment): Merged | null {
  if (typed !== "") return merge([[typed, readNamed(typed)]])
  const listed = env["KUBECONFIG"] ?? ""
  const files =
    listed === "" ? [join(env["HOME"] || homedir(), ".kube", "config")] : listed.split(":")
  const there = files.flatMap((file): (readonly [string, string])[] => {
    const text = file === "" ? null : readIfThere(file)
    return text === null || text.trim() === "" ? [] : [[file, text]]
  })
  return there.length === 0 ? null : merge(there)
}

/** As kubectl does: of several files the first that says something wins. */
function merge(files: readonly (readonly [file: string, text: string])[]): Merged {
  const contexts = new Map<string, Said<v.InferOutput<typeof Context>>>()
  const clusters = new Map<string, Said<v.InferOutput<typeof Cluster>>>()
  const users = new Map<string, Said<v.InferOutput<typeof User>>>()
  let current = ""
  for (const [file, text] of files) {
    const config = parse(file, text)
    current ||= config["current-context"] ?? ""
    collect(contexts, config.contexts, "context", Context, file)
    collect(clusters, config.clusters, "cluster", Cluster, file)
    collect(users, config.users, "user", User, file)
  }
  return { current, contexts, clusters, users }
}

function collect<T extends v.GenericSchema>(
  into: Map<string, Said<v.InferOutput<T>>>,
  entries: readonly Readonly<Record<string, unknown>>[] | null,
  key: string,
  schema: T,
  file: string,
): void {
  for (const entry of entries ?? []) {
    const name = String(entry["name"])
    if (!into.has(name)) into.set(name, { value: v.parse(schema, entry[key] ?? {}), file })
  }
}

function parse(file: string, text: string): v.InferOutput<typeof Kubeconfig> {
  try {
    return v.parse(Kubeconfig, Bun.YAML.parse(text) ?? {})
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw invalid(`error loading config file "${file}": ${why}`)
  }
}

/** Null: the files name no server to use. */
function fromKubeconfig(merged: Merged, wanted: string): KubeConfig | null {
  const name = wanted === "" ? merged.current : wanted
  const context = merged.contexts.get(name)?.value
  if (context === undefined) {
    if (wanted !== "") throw noContext(wanted)
    return null
  }
  const cluster = merged.clusters.get(context.cluster ?? "")
  if (cluster === undefined || !cluster.value.server)
    throw invalid(`context "${name}" of the kubeconfig names no cluster with a server`)
  const user = merged.users.get(context.user ?? "")
  if (user === undefined && context.user)
    throw invalid(
      `context "${name}" of the kubeconfig names the user "${context.user}", which is missing`,
    )
  const identity = user === undefined ? nobody : identityOf(user, context.user ?? "")
  const ca = material(cluster, "certificate-authority")
  const serverName = cluster.value["tls-server-name"]
  return {
    server: cluster.value.server.replace(/\/+$/, ""),
    namespace: context.namespace || "default",
    tls: {
      ...identity.tls,
      rejectUnauthorized: cluster.value["insecure-skip-tls-verify"] !== true,
      ...(ca === "" ? {} : { ca }),
      ...(serverName ? { serverName } : {}),
    },
    authorization: identity.authorization,
  }
}

interface Identity {
  readonly tls: { readonly cert?: string; readonly key?: string }
  readonly authorization: KubeConfig["authorization"]
}
const nobody: Identity = { tls: {}, authorization: () => null }

function identityOf(user: Said<v.InferOutput<typeof User>>, name: string): Identity {
  const { value, file } = user
  for (const kind of ["exec", "auth-provider"] as const)
    if (value[kind] !== undefined && value[kind] !== null)
      throw invalid(
        `user "${name}" of the kubeconfig gets its credentials from a program (${kind}), which stolon does not run; ` +
          "use a token, a token file or a client certificate",
      )
  const cert = material(user, "client-certificate")
  const key = material(user, "client-key")
  const tokenFile = value.tokenFile ? beside(file, value.tokenFile) : ""
  return {
    tls: cert !== "" && key !== "" ? { cert, key } : {},
    authorization: () => {
      if (tokenFile !== "") return `Bearer ${readNow(tokenFile).trim()}`
      if (value.token) return `Bearer ${value.token}`
      const pair = `${value.username}:${value.password ?? ""}`
      return value.username ? `Basic ${Buffer.from(pair).toString("base64")}` : null
    },
  }
}

/** What a kubeconfig holds itself, in base64, or in a file of its own. */
function material<K extends string>(
  { value, file }: Said<{ readonly [key in K | `${K}-data`]?: string | null | undefined }>,
  key: K,
): string {
  const inside = value[`${key}-data`]
  if (inside) return Buffer.from(inside, "base64").toString()
  const path = value[key]
  return path ? readNamed(beside(file, path), "open") : ""
}

const beside = (file: string, path: string): string =>
  isAbsolute(path) ? path : join(dirname(file), path)

function readNamed(path: string, act: "stat" | "open" = "stat"): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    throw invalid(fileTrouble(act, path, error))
  }
}

/** A file that ought to be there while the process runs: trouble may pass. */
function readNow(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    throw new StoreError("unavailable", fileTrouble("open", path, error))
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : ""
    if (code === "ENOENT" || code === "ENOTDIR") return null
    throw invalid(fileTrouble("open", path, error))
  }
}
