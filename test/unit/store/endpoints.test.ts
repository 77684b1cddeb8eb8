/** `--store-endpoints` as Go reads it (reference 1.3). */
import { expect, test } from "bun:test"
import { StoreError } from "#port/store.ts"
import { parseEndpoints } from "#store/endpoints.ts"

test.each([
  [[], "http", ["127.0.0.1:2379"]],
  [["127.0.0.1:2379"], "http", ["127.0.0.1:2379"]],
  [["etcd"], "http", ["etcd:2379"]],
  [
    ["HTTPS://a:1/path?x", "https://[::1]:2", "https://u:p@b"],
    "https",
    ["a:1", "[::1]:2", "b:2379"],
  ],
  [["http://a:1", " b:2 ", ""], "http", ["a:1", "b:2"]],
  [["[fd00::1]"], "http", ["[fd00::1]:2379"]],
  [["http://a:"], "http", ["a:2379"]],
] as const)("parseEndpoints(%p) takes it", (typed, scheme, addresses) => {
  expect(parseEndpoints(typed)).toEqual({ scheme, addresses })
})

test.each([
  [["http://a:1", "https://b:2"], "all the endpoints must have the same scheme"],
  [["a:1", "unix://b"], "all the endpoints must have the same scheme"],
  [["ftp://a:1"], "endpoints scheme must be http or https"],
  [
    ["http://[::1"],
    `cannot parse endpoint "http://[::1": parse "http://[::1": missing ']' in host`,
  ],
  [
    ["http://a:b"],
    `cannot parse endpoint "http://a:b": parse "http://a:b": invalid port ":b" after host`,
  ],
  [
    ["http://a b"],
    `cannot parse endpoint "http://a b": parse "http://a b": invalid character " " in host name`,
  ],
] as const)("parseEndpoints(%p) refuses it with Go's text", (typed, text) => {
  const refusal = (): unknown => parseEndpoints(typed)
  expect(refusal).toThrow(new StoreError("invalid", `cannot create kv store: ${text}`))
})
