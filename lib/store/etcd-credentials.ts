/**
 * TLS towards etcd. grpc-js always sends the host as server name, which TLS forbids for an IP
 * address: Bun refuses such a connection (Node warns). So for an address the name is left out and
 * the certificate is checked against the address here.
 */
import { ChannelCredentials } from "@grpc/grpc-js"
import { isIP } from "node:net"
import { type ConnectionOptions, checkServerIdentity } from "node:tls"
import { assert } from "#base/assert.ts"
import type { TlsFiles } from "./tls.ts"

export function credentialsFor(tls: TlsFiles | null): ChannelCredentials {
  if (tls === null) return ChannelCredentials.createInsecure()
  const credentials = ChannelCredentials.createSsl(
    tls.ca,
    tls.client?.key ?? null,
    tls.client?.cert ?? null,
    tls.skipVerify
      ? { rejectUnauthorized: false, checkServerIdentity: () => undefined }
      : undefined,
  )
  return withoutAddressAsName(credentials, tls.skipVerify)
}

/** The part of grpc-js 1.14 (pinned) that is patched; `assert` below notices when it changes. */
interface Inside {
  _createSecureConnector(...args: readonly unknown[]): { readonly connectionOptions?: unknown }
}

function withoutAddressAsName(
  credentials: ChannelCredentials,
  skipVerify: boolean,
): ChannelCredentials {
  const inside = credentials as unknown as Inside
  assert(typeof inside._createSecureConnector === "function", "grpc-js makes its TLS connectors")
  const create = inside._createSecureConnector.bind(credentials)
  inside._createSecureConnector = (...args) => {
    const connector = create(...args)
    const options = connector.connectionOptions as ConnectionOptions | undefined
    assert(options !== undefined, "grpc-js keeps the options of its TLS connections")
    const name = options.servername ?? ""
    if (isIP(name) !== 0) {
      delete options.servername
      if (!skipVerify) options.checkServerIdentity = (_, cert) => checkServerIdentity(name, cert)
    }
    return connector
  }
  return credentials
}
