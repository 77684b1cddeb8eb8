/** The etcdv3 backend against three real members. */
import { afterAll, beforeAll } from "bun:test"
import { type EtcdCluster, startEtcd } from "./etcd.ts"
import { settingsOf } from "./scene.ts"
import { storeConformance } from "./store.ts"

let etcd: EtcdCluster
beforeAll(async () => {
  etcd = await startEtcd({ members: 3 })
}, 30_000)
afterAll(() => etcd[Symbol.asyncDispose]())

storeConformance({
  name: "etcdv3, three members",
  settings: (clusterName) => settingsOf("etcdv3", etcd.endpoints, clusterName),
  skip: [],
})
