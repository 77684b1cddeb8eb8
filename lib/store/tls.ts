/**
 * The TLS files of the store flags. They are read only for https endpoints, as Go does; a
 * certificate without its key (or a key without its certificate) is ignored, as Go does.
 */
import { readFileSync } from "node:fs"
import { getCACertificates, rootCertificates } from "node:tls"
import type { StoreSettings } from "#port/store.ts"
import { fileTrouble } from "#system/errno.ts"
import { refused } from "./endpoints.ts"

export interface TlsFiles {
  readonly ca: Buffer
  readonly client: { readonly cert: Buffer; readonly key: Buffer } | null
  readonly skipVerify: boolean
}

export function readTls(tls: StoreSettings["tls"]): TlsFiles {
  const both = tls.certFile !== "" && tls.keyFile !== ""
  return {
    ca: tls.caFile === "" ? systemRoots() : readAuthorities(tls.caFile),
    client: both ? { cert: read(tls.certFile), key: read(tls.keyFile) } : null,
    skipVerify: tls.skipVerify,
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw refused(`cannot create store tls config: ${fileTrouble("open", path, error)}`)
  }
}

function readAuthorities(path: string): Buffer {
  const pem = read(path)
  // Go accepts such a file and then trusts nobody, which shows as nothing but timeouts
  if (!pem.includes("-----BEGIN CERTIFICATE-----"))
    throw refused(`cannot create store tls config: ${path} contains no certificate`)
  return pem
}

/**
 * The certificates of the system, as Go uses them; those built into Bun where the system has none.
 */
function systemRoots(): Buffer {
  const system = getCACertificates("system")
  return Buffer.from((system.length > 0 ? system : rootCertificates).join("\n"))
}

/** As `fetch` takes them. */
export function fetchTls(files: StoreSettings["tls"]): BunFetchRequestInit["tls"] {
  const { ca, client, skipVerify } = readTls(files)
  return {
    ca,
    ...(client === null ? {} : { cert: client.cert, key: client.key }),
    rejectUnauthorized: !skipVerify,
  }
}
