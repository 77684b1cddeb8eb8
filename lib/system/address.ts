/** Addresses to listen on, as users write them. */

export interface HostPort {
  /** Without brackets; empty means every interface. */
  readonly host: string
  readonly port: number
}

/** Splits `host:port`, `[v6]:port` and `:port`; throws when there is no port in range. */
export function splitAddress(address: string): HostPort {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(address)
  const port = Number(match?.[3] ?? Number.NaN)
  if (match === null || !(port <= 65_535))
    throw new Error(`not an address of the form host:port: ${JSON.stringify(address)}`)
  return { host: match[1] ?? match[2] ?? "", port }
}
