/**
 * Whether a request may have been applied is read from etcd's errors; a mistake here is a lost or a
 * doubled write.
 */
import { status } from "@grpc/grpc-js"
import { expect, test } from "bun:test"
import { asStoreError, etcdError } from "#store/etcd-errors.ts"

const grpc = (code: number, text: string): Error =>
  Object.assign(new Error(`${code} ${text}`), { code })

test.each([
  ["UNAVAILABLE", "etcdserver: request timed out", "lost"],
  ["UNAVAILABLE", "etcdserver: leader changed", "lost"],
  ["UNAVAILABLE", "Connection dropped", "lost"],
  ["CANCELLED", "Call cancelled", "lost"],
  ["UNKNOWN", "anything", "lost"],
  ["UNAVAILABLE", "etcdserver: no leader", "unsent"],
  ["UNAVAILABLE", "No connection established. Last error: ECONNREFUSED", "unsent"],
  ["RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", "unsent"],
  ["UNAUTHENTICATED", "etcdserver: invalid auth token", "token"],
  ["INVALID_ARGUMENT", "etcdserver: revision of auth store is old", "token"],
  ["NOT_FOUND", "etcdserver: requested lease not found", "lease"],
  ["PERMISSION_DENIED", "etcdserver: permission denied", "denied"],
  ["INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", "denied"],
  ["INVALID_ARGUMENT", "etcdserver: user name is empty", "denied"],
  ["INVALID_ARGUMENT", "etcdserver: request is too large", "refused"],
] as const)("etcdError() of %s, %s: %s", (code, text, trouble) => {
  expect(etcdError(grpc(status[code], text), "a:1").trouble).toBe(trouble)
})

test("etcdError() of a deadline: lost", () => {
  const late = new DOMException("deadline of 5000 ms passed", "TimeoutError")
  expect(etcdError(late, "a:1").trouble).toBe("lost")
})

test("asStoreError() makes only rights and credentials an error that is not tried again", () => {
  const of = (error: Error): unknown => asStoreError(etcdError(error, "a:1"), "get x").code
  expect(of(grpc(status.PERMISSION_DENIED, "etcdserver: permission denied"))).toBe("denied")
  expect(of(grpc(status.UNAVAILABLE, "etcdserver: no leader"))).toBe("unavailable")
  expect(of(grpc(status.NOT_FOUND, "etcdserver: requested lease not found"))).toBe("unavailable")
  expect(of(grpc(status.INVALID_ARGUMENT, "etcdserver: request is too large"))).toBe("malformed")
})
