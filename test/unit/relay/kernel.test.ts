/**
 * What the kernel still has of a session that is cut: when the cut has been said, nothing more
 * of it may reach a server, however full the buffers on the way are.
 */
import { expect, test } from "bun:test"

import {
  connect,
  destination,
  fence,
  holdingRelay,
  over,
  queues,
  send,
  to,
  until,
} from "./world.ts"

test("S4 nothing arrives after the cut was said", async () => {
  await using proxy = await holdingRelay()
  using server = destination(false, (end) => end.socket.pause()) // it stands still
  await proxy.apply(to(server.port))
  const client = await connect(proxy.port)
  send(client, new Uint8Array(32 << 20))
  let before = { unread: 0, unsent: 0 }
  let looks = 0
  await until("all is full", () => {
    const now = queues(server.port)
    looks = now.unread === before.unread && now.unsent === before.unsent ? looks + 1 : 0
    before = now
    return looks > 20 && now.unsent > 100_000
  })
  const had = server.end(0).bytes + before.unread
  await proxy.apply(fence)
  server.end(0).socket.resume()
  await until("the end", () => over(server.end(0)))
  expect(server.end(0).bytes).toBeLessThanOrEqual(had)
}, 30_000)
