/**
 * One etcd member: its connections, its authentication token, single requests. The only file that
 * touches the etcd3 package, which serves as protocol and connection layer: its own retries (of
 * writes, too), breakers, watches and leases are not used.
 *
 * Every call here ends with its signal; nothing is ever sent twice, except after etcd said that the
 * token was not valid, which means that it did nothing. `hasleader` is on every call: a member
 * without a leader says so at once instead of going silent.
 */
import { Metadata, type CallOptions, type Client, type ClientDuplexStream } from "@grpc/grpc-js"
import type { ChannelCredentials } from "@grpc/grpc-js"
import { noop } from "cockatiel"
import {
  Etcd3,
  type IAuthenticateRequest,
  type IAuthenticateResponse,
  type ILeaseGrantRequest,
  type ILeaseGrantResponse,
  type ILeaseKeepAliveRequest,
  type ILeaseKeepAliveResponse,
  type ILeaseRevokeRequest,
  type ILeaseRevokeResponse,
  type ITxnRequest,
  type ITxnResponse,
  type IWatchRequest,
  type IWatchResponse,
} from "etcd3"
import { type Millis, millis } from "#base/brand.ts"
import type { Clock } from "#port/clock.ts"
import { EtcdError, etcdError } from "./etcd-errors.ts"
import { orAborted } from "./scope.ts"

interface Calls {
  readonly txn: { readonly service: "KV"; readonly ask: ITxnRequest; readonly answer: ITxnResponse }
  readonly leaseGrant: {
    readonly service: "Lease"
    readonly ask: ILeaseGrantRequest
    readonly answer: ILeaseGrantResponse
  }
  readonly leaseRevoke: {
    readonly service: "Lease"
    readonly ask: ILeaseRevokeRequest
    readonly answer: ILeaseRevokeResponse
  }
  readonly authenticate: {
    readonly service: "Auth"
    readonly ask: IAuthenticateRequest
    readonly answer: IAuthenticateResponse
  }
}
const services: { readonly [Name in keyof Calls]: Calls[Name]["service"] } = {
  txn: "KV",
  leaseGrant: "Lease",
  leaseRevoke: "Lease",
  authenticate: "Auth",
}
interface Streams {
  readonly watch: ClientDuplexStream<IWatchRequest, IWatchResponse>
  readonly leaseKeepAlive: ClientDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>
}
const streamServices = { watch: "Watch", leaseKeepAlive: "Lease" } as const

export interface Endpoint {
  readonly address: string
  /** When it last answered anything. */
  readonly answered: Millis
  /**
   * Aborts when the endpoint was given up for a time; what streams from it should look elsewhere.
   */
  readonly trusted: AbortSignal
  call<Name extends keyof Calls>(
    name: Name,
    ask: Calls[Name]["ask"],
    signal: AbortSignal,
  ): Promise<Calls[Name]["answer"]>
  /** One lease renewal: the seconds it now has, 0 when there is no such lease. */
  renew(lease: string, signal: AbortSignal): Promise<number>
  watch(signal: AbortSignal): Promise<Streams["watch"]>
  /** Closes its connections; the next call makes new ones. */
  distrust(): void
  close(): void
}

export interface EndpointSettings {
  readonly address: string
  readonly credentials: ChannelCredentials
  readonly user: string
  readonly password: string
}

const channelOptions = {
  // Below 5 s, or without a running call, etcd calls pings excessive and hangs up
  "grpc.keepalive_time_ms": 6000,
  "grpc.keepalive_timeout_ms": 3000,
  "grpc.keepalive_permit_without_calls": 0,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2000,
  // Shared connections would sit out the kernel's SYN backoff of a healed network
  "grpc.use_local_subchannel_pool": 1,
  "grpc.max_receive_message_length": -1,
  "grpc.enable_http_proxy": 0, // as Go's client
  "grpc.service_config_disable_resolution": 1,
}

/** The parts of etcd3 1.1.2 (pinned) that its types do not show. */
interface Inside {
  readonly pool: {
    readonly hosts: readonly {
      channelCredentials: ChannelCredentials
      getServiceClient(name: string): Client
      resetAllServices(): void
    }[]
  }
}

export function openEndpoint(settings: EndpointSettings, clock: Clock): Endpoint {
  const { address } = settings
  const etcd = new Etcd3({
    hosts: address,
    grpcOptions: channelOptions,
    faultHandling: { global: noop, host: () => noop },
  })
  const host = (etcd as unknown as Inside).pool.hosts[0]
  if (host === undefined) throw new EtcdError("refused", address, "etcd3 knows no host")
  host.channelCredentials = settings.credentials // etcd3 offers no way to skip verification
  let trust = new AbortController()
  let answered = millis(Number.NEGATIVE_INFINITY)
  let token: Promise<string | null> | null = null

  const send = async <Name extends keyof Calls>(
    name: Name,
    ask: Calls[Name]["ask"],
    metadata: Metadata,
    signal: AbortSignal,
  ): Promise<Calls[Name]["answer"]> => {
    try {
      const client = host.getServiceClient(services[name])
      const answer = await unary<Calls[Name]["ask"], Calls[Name]["answer"]>(
        client,
        name,
        ask,
        metadata,
        signal,
      )
      answered = clock.now().mono
      return answer
    } catch (error) {
      throw etcdError(error, address)
    }
  }
  const authenticate = async (signal: AbortSignal): Promise<string | null> => {
    const { user: name, password } = settings
    try {
      return (await send("authenticate", { name, password }, metadataOf(null), signal)).token
    } catch (error) {
      // As Go's client: a user given where etcd asks for none is no mistake
      if (String(error).includes("authentication is not enabled")) return null
      throw error
    }
  }
  /**
   * Runs `use` with metadata; once more when the token turns out to be stale (a restarted member
   * forgets it).
   */
  const authorized = async <T>(
    use: (metadata: Metadata) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> => {
    for (let attempt = 0; ; attempt++) {
      const mine = await currentToken(signal)
      try {
        return await use(metadataOf(mine))
      } catch (error) {
        const trouble = etcdError(error, address)
        if (trouble.trouble !== "token" || settings.user === "") throw trouble
        token = null
        if (attempt > 0) throw trouble
      }
    }
  }
  const currentToken = async (signal: AbortSignal): Promise<string | null> => {
    if (settings.user === "") return null
    const asked = (token ??= authenticate(signal))
    try {
      return await orAborted(asked, signal)
    } catch (error) {
      if (token === asked) token = null
      const { trouble, message } = etcdError(error, address)
      // Whatever was to be sent was not
      throw new EtcdError(trouble === "lost" ? "unsent" : trouble, address, message, {
        cause: error,
      })
    }
  }
  const stream = <Name extends keyof Streams>(name: Name, metadata: Metadata): Streams[Name] => {
    const client = host.getServiceClient(streamServices[name])
    const open: unknown = Reflect.get(client, name)
    if (typeof open !== "function") throw new EtcdError("refused", address, `no method ${name}`)
    // generated at run time from etcd's protocol file
    return open.call(client, metadata) as Streams[Name]
  }
  return {
    address,
    get answered() {
      return answered
    },
    get trusted() {
      return trust.signal
    },
    call: (name, ask, signal) =>
      authorized((metadata) => send(name, ask, metadata, signal), signal),
    renew: (lease, signal) =>
      authorized(async (metadata) => {
        const seconds = await keepAlive(stream("leaseKeepAlive", metadata), lease, signal)
        answered = clock.now().mono
        return seconds
      }, signal),
    watch: (signal) =>
      authorized(
        (metadata) => orAborted(Promise.resolve(stream("watch", metadata)), signal),
        signal,
      ),
    distrust() {
      trust.abort(new EtcdError("lost", address, "it did not answer in time"))
      trust = new AbortController()
      token = null
      answered = millis(Number.NEGATIVE_INFINITY)
      host.resetAllServices()
    },
    close() {
      trust.abort(new EtcdError("unsent", address, "closed"))
      etcd.close()
    },
  }
}

function metadataOf(token: string | null): Metadata {
  const metadata = new Metadata()
  metadata.set("hasleader", "true")
  if (token !== null) metadata.set("token", token)
  return metadata
}

type Unary<Ask, Answer> = (
  ask: Ask,
  metadata: Metadata,
  options: CallOptions,
  callback: (error: Error | null, answer: Answer) => void,
) => { cancel(): void }

/**
 * Resolves with the answer; rejects with the error, or with the signal's reason, and then the call
 * is cancelled.
 */
function unary<Ask, Answer>(
  client: Client,
  method: string,
  ask: Ask,
  metadata: Metadata,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    // Generated at run time from etcd's protocol file, so the type is ours to state
    const call = Reflect.get(client, method) as Unary<Ask, Answer>
    const running = call.call(client, ask, metadata, {}, (error, answer) => {
      signal.removeEventListener("abort", abort)
      if (error !== null) reject(error)
      else resolve(answer)
    })
    const abort = (): void => {
      reject(signal.reason)
      running.cancel()
    }
    signal.addEventListener("abort", abort, { once: true })
  })
}

function keepAlive(
  stream: Streams["leaseKeepAlive"],
  lease: string,
  signal: AbortSignal,
): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    stream.on("data", (answer: ILeaseKeepAliveResponse) => resolve(Math.max(0, Number(answer.TTL))))
    stream.on("error", reject)
    stream.on("end", () => reject(new Error("the stream ended without an answer")))
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    stream.write({ ID: lease })
  }).finally(() => stream.cancel()) // its late CANCELLED error finds the listener above
}
