/**
 * `ctl register` as a decision: from cluster data and what Consul has under the cluster's name to
 * the requests that make them agree (reference 1.7). Asking Consul is somebody else's.
 *
 * Better than Go's (D-86): only services of the agent that is asked are compared, since only those
 * can be removed there; a new service counts as well from its beginning; a database that has not
 * reported its port is left out alone; the primary is the one that clients are led to, never one
 * that is still to be promoted, and a deposed primary is nobody's standby.
 */
import { by, byText, sortedValues } from "#base/order.ts"
import { type ClusterData, type DB, isMasterType } from "#model/cluster.ts"
import { type Value, decode, dictionary, int, list, omit, struct, text } from "#model/codec.ts"
import { printJson } from "#model/json.ts"

/** A database as a service. */
export interface Service {
  readonly id: string
  readonly name: string
  readonly tags: readonly string[]
  readonly address: string
  readonly port: number
}

export interface RegisterWish {
  readonly clusterName: string
  readonly master: boolean
  readonly masterTags: readonly string[]
  readonly standbyTags: readonly string[]
}

export type Change =
  | { readonly kind: "deregister"; readonly id: string }
  | { readonly kind: "register"; readonly service: Service }
/** A database that should be a service and cannot be one yet. */
export interface Skipped {
  readonly id: string
  readonly why: string
}

/** One round: removals first, then registrations, each by id. */
export function registration(
  data: ClusterData,
  wish: RegisterWish,
  found: readonly Service[],
): { readonly changes: readonly Change[]; readonly skipped: readonly Skipped[] } {
  const { services, skipped } = wanted(data, wish)
  const same = (service: Service, other: Service | undefined): boolean =>
    other !== undefined && printJson(plain(service)) === printJson(plain(other))
  const byId = (all: readonly Service[], id: string): Service | undefined =>
    all.find((service) => service.id === id)
  const gone = found.filter((service) => !same(service, byId(services, service.id)))
  const fresh = services.filter((service) => !same(service, byId(found, service.id)))
  const order = by((service: Service) => service.id, byText)
  return {
    changes: [
      ...gone.toSorted(order).map(({ id }): Change => ({ kind: "deregister", id })),
      ...fresh.toSorted(order).map((service): Change => ({ kind: "register", service })),
    ],
    skipped,
  }
}

const plain = ({ id, name, tags, address, port }: Service) => [id, name, tags, address, port]

function wanted(
  data: ClusterData,
  wish: RegisterWish,
): { readonly services: readonly Service[]; readonly skipped: readonly Skipped[] } {
  const services: Service[] = []
  const skipped: Skipped[] = []
  for (const db of sortedValues(data.dbs)) {
    const tags = tagsOf(data, db, wish)
    if (tags === null) continue
    const { listenAddress: address, port } = db.status
    if (address !== "" && /^\d{1,5}$/.test(port))
      services.push({ id: db.uid, name: wish.clusterName, tags, address, port: Number(port) })
    else skipped.push({ id: db.uid, why: "it has not reported its address and port yet" })
  }
  return { services, skipped }
}

/** Null: it is not to be found by clients now. */
function tagsOf(data: ClusterData, db: DB, wish: RegisterWish): readonly string[] | null {
  if (!db.status.healthy) return null
  if (db.uid === data.proxy.spec.masterDbUid) return wish.master ? wish.masterTags : null
  return isMasterType(db) ? null : wish.standbyTags
}

const AgentService = struct({
  ID: omit(text),
  Service: omit(text),
  Tags: omit(list(text)),
  Address: omit(text),
  Port: omit(int),
})
const AgentServices = dictionary<string, Value<typeof AgentService>>(AgentService)

/** What is asked of an agent for the services that it has itself. */
export const servicesRequest = { method: "GET", path: "/v1/agent/services", body: "" } as const

/** Those of one name, from the agent's answer. */
export const servicesNamed = (name: string, answer: string): readonly Service[] =>
  sortedValues(decode(AgentServices, answer))
    .filter((entry) => entry.Service === name)
    .map(service)

const service = (entry: Value<typeof AgentService>): Service => ({
  id: entry.ID,
  name: entry.Service,
  tags: entry.Tags,
  address: entry.Address,
  port: entry.Port,
})

/** A change as the agent's API takes it. */
export function requestOf(change: Change): {
  readonly method: "PUT"
  readonly path: string
  readonly body: string
} {
  const base = "/v1/agent/service"
  if (change.kind === "deregister")
    return { method: "PUT", path: `${base}/deregister/${encodeURIComponent(change.id)}`, body: "" }
  const { id, name, tags, address, port } = change.service
  const host = address.includes(":") ? `[${address}]` : address
  const body = {
    ID: id,
    Name: name,
    Tags: tags,
    Port: port,
    Address: address,
    // its keeper says that it is well; until the first check Consul would call it critical
    Check: { Interval: "10s", Status: "passing", TCP: `${host}:${port}` },
    Checks: null,
  }
  return { method: "PUT", path: `${base}/register`, body: printJson(body) }
}
