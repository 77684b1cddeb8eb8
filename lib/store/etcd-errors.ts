/**
 * What an error of etcd or of the connection says about the request: above all, whether it may have
 * been applied.
 *
 * etcd's texts are the only thing that tells its errors apart (gRPC codes are shared), so they are
 * matched here and nowhere else.
 */
import { status } from "@grpc/grpc-js"
import { StoreError, type StoreErrorCode } from "#port/store.ts"
import { message } from "./scope.ts"

export type EtcdTrouble =
  | "unsent" // certainly not applied; another endpoint may do better
  | "lost" // no answer that can be used: applied or not, now or later
  | "token" // not applied: the authentication token is not valid (any more)
  | "lease" // not applied: the lease does not exist (any more)
  | "denied" // not applied: credentials or rights
  | "refused" // not applied: the request itself is at fault

export class EtcdError extends Error {
  override readonly name = "EtcdError"
  constructor(trouble: EtcdTrouble, endpoint: string, text: string, options?: ErrorOptions) {
    super(`${endpoint}: ${text}`, options)
    this.trouble = trouble
  }
  readonly trouble: EtcdTrouble
}

const byText: readonly (readonly [string, EtcdTrouble])[] = [
  ["etcdserver: no leader", "unsent"], // refused at the door, because we ask for `hasleader`
  ["No connection established", "unsent"],
  ["Channel closed before call started", "unsent"],
  ["etcdserver: too many requests", "unsent"],
  ["etcdserver: mvcc: database space exceeded", "unsent"],
  ["etcdserver: invalid auth token", "token"],
  ["etcdserver: revision of auth store is old", "token"],
  ["etcdserver: requested lease not found", "lease"],
  ["etcdserver: permission denied", "denied"],
  ["etcdserver: authentication failed", "denied"],
  ["etcdserver: user name is empty", "denied"],
  ["etcdserver: user name not found", "denied"],
]

/** Wraps whatever a call ended with. */
export function etcdError(error: unknown, endpoint: string): EtcdError {
  if (error instanceof EtcdError) return error
  const text = message(error)
  const trouble = byText.find(([pattern]) => text.includes(pattern))?.[1] ?? byCode(error)
  return new EtcdError(trouble, endpoint, text, { cause: error })
}

function byCode(error: unknown): EtcdTrouble {
  const code = error instanceof Error && "code" in error ? error.code : null
  switch (code) {
    case status.PERMISSION_DENIED:
      return "denied"
    case status.UNAUTHENTICATED:
      return "token"
    case status.INVALID_ARGUMENT:
    case status.FAILED_PRECONDITION:
    case status.OUT_OF_RANGE:
    case status.UNIMPLEMENTED:
    case status.RESOURCE_EXHAUSTED:
    case status.NOT_FOUND:
    case status.ALREADY_EXISTS:
      return "refused"
    default:
      return "lost"
  }
}

/** True when the same request may get a better answer elsewhere or later. */
export const isPassing = (error: EtcdError): boolean =>
  error.trouble === "unsent" || error.trouble === "lost" || error.trouble === "token"

export function asStoreError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error
  const code: StoreErrorCode =
    error instanceof EtcdError && (error.trouble === "denied" || error.trouble === "token")
      ? "denied"
      : error instanceof EtcdError && error.trouble === "refused"
        ? "malformed"
        : "unavailable"
  return new StoreError(code, `${doing}: ${message(error)}`, { cause: error })
}
