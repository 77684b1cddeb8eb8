/**
 * The agent of Consul in which `ctl register` keeps services. Its requests may all be repeated:
 * each says what shall be there.
 */
import type { Clock } from "#port/clock.ts"
import { StoreError, type StoreSettings } from "#port/store.ts"
import { type Environment, consulPool } from "./consul-access.ts"
import { type HttpRequest, refusal } from "./http-pool.ts"

export interface ConsulAgent extends Disposable {
  /** `path` begins with `/v1/`. The answer's text; throws `StoreError`. */
  ask(
    request: { readonly method: "GET" | "PUT"; readonly path: string; readonly body: string },
    signal: AbortSignal,
  ): Promise<string>
}

export function openAgent(
  endpoint: URL,
  settings: Pick<StoreSettings, "tls" | "timeout">,
  clock: Clock,
  env: Environment = process.env,
): ConsulAgent {
  const closing = new AbortController()
  const scheme = endpoint.protocol === "https:" ? "https" : "http"
  const closed = closing.signal
  const addresses = [endpoint.host]
  const consul = consulPool({ scheme, addresses, clock, closed, ...settings }, env)
  return {
    async ask({ method, path, body }, signal) {
      const request: HttpRequest = {
        ...{ method, path: path.replace("/v1/", "") },
        ...(body === "" ? {} : { body }),
      }
      const reply = await consul.ask(request, signal)
      if (reply.status !== 200) throw refusal(request, reply)
      return reply.body
    },
    [Symbol.dispose]: () => closing.abort(new StoreError("unavailable", "the agent is closed")),
  }
}
