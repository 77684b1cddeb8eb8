/** The etcdv3 backend against one real member. */
import { afterAll, beforeAll } from "bun:test"
import { type EtcdCluster, startEtcd } from "./etcd.ts"
import { settingsOf } from "./scene.ts"
import { storeConformance } from "./store.ts"

let etcd: EtcdCluster
beforeAll(async () => {
  etcd = await startEtcd()
}, 30_000)
afterAll(() => etcd[Symbol.asyncDispose]())

storeConformance({
  name: "etcdv3, one member",
  settings: (clusterName) => settingsOf("etcdv3", etcd.endpoints, clusterName),
  skip: [],
})
