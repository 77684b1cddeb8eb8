/**
 * Who we are to Consul: a token or a name from the environment, as Consul's own programs take them,
 * and the TLS files of the flags.
 */
import { readFileSync } from "node:fs"
import type { StoreSettings } from "#port/store.ts"
import { fileTrouble } from "#system/errno.ts"
import { refused } from "./endpoints.ts"
import { type HttpOptions, type HttpPool, httpPool } from "./http-pool.ts"
import { fetchTls } from "./tls.ts"

export type Environment = Readonly<Record<string, string | undefined>>

/** The headers that say so. */
function identity(env: Environment): Readonly<Record<string, string>> {
  const file = env["CONSUL_HTTP_TOKEN_FILE"] ?? ""
  const token = (env["CONSUL_HTTP_TOKEN"] ?? "") || (file === "" ? "" : readToken(file))
  const basic = env["CONSUL_HTTP_AUTH"] ?? ""
  return {
    ...(token === "" ? {} : { "X-Consul-Token": token }),
    ...(basic === "" ? {} : { authorization: `Basic ${Buffer.from(basic).toString("base64")}` }),
  }
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim()
  } catch (error) {
    throw refused(`CONSUL_HTTP_TOKEN_FILE: ${fileTrouble("open", file, error)}`)
  }
}

/** A pool of Consul's servers or agents. */
export const consulPool = (
  options: Pick<HttpOptions, "scheme" | "addresses" | "clock" | "timeout" | "closed"> & {
    readonly tls: StoreSettings["tls"]
  },
  env: Environment,
): HttpPool =>
  httpPool({
    ...options,
    ...{ server: "consul", root: "/v1/", indexHeader: "x-consul-index" },
    probe: { method: "GET", path: "kv/", query: { keys: "", separator: "/" } },
    headers: identity(env),
    query: env["CONSUL_NAMESPACE"] ? { ns: env["CONSUL_NAMESPACE"] } : {},
    tls: options.scheme === "https" ? fetchTls(options.tls) : undefined,
  })
