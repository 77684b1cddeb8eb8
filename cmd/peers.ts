/**
 * Opens the endpoint for peers at the place that the flag names, or at one that others can be
 * expected to reach. Nothing is guessed that could point elsewhere: an address that leads other
 * machines to themselves would look to them as if this process had ended.
 */
import { createSocket } from "node:dgram"
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import { networkInterfaces } from "node:os"
import { noEndpoint } from "#agent/no-peers.ts"
import type { Dialect } from "#cli/flag.ts"
import { peerPlace } from "#cli/peer.ts"
import { openPeerEndpoint } from "#peer/serve.ts"
import type { PeerEndpoint } from "#port/peer.ts"
import type { StoreSettings } from "#port/store.ts"
import { parseEndpoints } from "#store/endpoints.ts"
import { splitAddress } from "#system/address.ts"
import { text } from "./service.ts"

export interface PeerChoice {
  /** `--peer-listen-address` as typed. */
  readonly typed: string
  readonly dialect: Dialect
  /** The host that others reach this component at, where the flag does not say. */
  readonly advertise: () => Promise<string>
  readonly password: string
}

/** Throws, with what was wanted, when it cannot be had. */
export async function openEndpoint(choice: PeerChoice): Promise<PeerEndpoint> {
  const { typed, dialect, password } = choice
  const place = peerPlace(typed, dialect)
  if (place === null || place.kind === "off") return noEndpoint
  const { host, port } = place
  const named = host !== "" && !isWildcard(host)
  const advertise = named ? host : await choice.advertise()
  const open = (listen: string): Promise<PeerEndpoint> =>
    openPeerEndpoint({ listen: { host: listen, port }, advertise, password })
  try {
    if (host !== "") return await open(isWildcard(host) ? "" : host)
    return await openAt(advertise, open)
  } catch (error) {
    const at = typed === "" ? `${advertise}, any port` : typed
    throw new Error(`cannot listen for peers at ${at} (--peer-listen-address): ${text(error)}`, {
      cause: error,
    })
  }
}

/**
 * A name may lead to this machine's loopback in its own hosts file, and an address may belong to
 * whoever forwards to us: then all interfaces are listened on.
 */
async function openAt(
  advertise: string,
  open: (listen: string) => Promise<PeerEndpoint>,
): Promise<PeerEndpoint> {
  if (isIP(advertise) === 0) return open("")
  try {
    return await open(advertise)
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRNOTAVAIL")) throw error
    return open("")
  }
}

const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::" || host === "*"

/**
 * For who has no address of its own in the flags: the one that this machine uses towards the store.
 * A store on this very machine tells nothing about the way to here, unless it is for one machine
 * only.
 */
export async function addressTowards(store: StoreSettings): Promise<string> {
  if (store.backend === "sqlite") return loopback
  for (const endpoint of parseEndpoints(store.endpoints).addresses) {
    const local = await localAddress(endpoint)
    if (local !== null && !isLoopback(local)) return local
  }
  const outward = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, address }) => !internal && !address.startsWith("fe80:"))
  return outward?.address ?? loopback
}
const loopback = "127.0.0.1"
const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.")

/** By connecting a UDP socket, which sends nothing; null: there is no way to there. */
async function localAddress(endpoint: string): Promise<string | null> {
  const { host, port } = splitAddress(endpoint)
  const remote = await lookup(host).catch(() => null)
  if (remote === null) return null
  const socket = createSocket(remote.family === 6 ? "udp6" : "udp4")
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once("error", reject)
    socket.connect(port, remote.address, resolve)
    await promise
    const { address } = socket.address()
    return isWildcard(address) ? null : address
  } catch {
    return null
  } finally {
    socket.close()
  }
}
