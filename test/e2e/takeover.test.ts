/**
 * The upgrade from Go stolon and the way back, on each store that Go stolon has (`takeover.ts`).
 */
import { test } from "bun:test"
import { consulMissing, startConsul } from "#test/conformance/consul.ts"
import { startEtcd } from "#test/conformance/etcd.ts"
import { kubeMissing, startKube } from "#test/conformance/kube-server.ts"
import { addressed } from "./addressed.ts"
import type { Platform } from "./cluster.ts"
import { kubePlatform } from "./kube-platform.ts"
import { takeover } from "./takeover.ts"

test("a Go cluster is taken over and handed back, component by component, and no row is lost", async () => {
  await takeover(async (stack) => addressed("etcdv3", stack.use(await startEtcd()).endpoints))
}, 120_000)

const others: readonly (readonly [
  store: string,
  missing: string | null,
  open: (stack: AsyncDisposableStack) => Promise<Platform>,
])[] = [
  [
    "Consul",
    consulMissing,
    async (stack) => addressed("consul", stack.use(await startConsul()).endpoints),
  ],
  ["Kubernetes", kubeMissing, async (stack) => kubePlatform(stack.use(await startKube()))],
  [
    "etcd's second API",
    null,
    async (stack) => {
      const etcd = stack.use(await startEtcd({ args: ["--enable-v2=true"] }))
      return addressed("etcdv2", etcd.endpoints)
    },
  ],
]

for (const [store, missing, open] of others)
  if (missing === null)
    test(`a Go cluster on ${store} is taken over and handed back, and no row is lost`, async () => {
      await takeover(open)
    }, 180_000)
  else test.skip(`a Go cluster on ${store} is taken over (skipped: ${missing})`, () => {})
