/** The Kubernetes backend against a real API server, with the rights that we ship. */
import { afterAll, beforeAll, test } from "bun:test"
import { kubeScenes } from "./kube-scene.ts"
import { type KubeServer, kubeMissing, startKube } from "./kube-server.ts"
import { storeConformance } from "./store.ts"

if (kubeMissing !== null)
  test.skip(`the store suite on Kubernetes (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  let kubeconfig: string
  beforeAll(async () => {
    server = await startKube()
    kubeconfig = server.kubeconfig({ token: await server.token("sentinel") })
  }, 180_000)
  afterAll(() => server[Symbol.asyncDispose]())

  const scenes = kubeScenes(
    () => server,
    () => kubeconfig,
  )
  storeConformance({
    name: "kubernetes",
    settings: scenes.settings,
    opening: scenes,
    skip: [
      {
        reason: "annotations hold 256 KiB at most; kubernetes-layout.test.ts has it with less",
        tests: ["write() and read() keep every byte of what is hard to keep"],
      },
      {
        reason: "an info is in a pod's annotation, under no key; see kubernetes-layout.test.ts",
        tests: ["infos() reports a broken value beside the good ones"],
      },
      {
        reason: "a lock and no queue: who waits leaves no trace; see kubernetes-election.test.ts",
        tests: [
          "campaign() elects one, in the order of standing",
          "campaign() that is aborted leaves no candidate behind",
          "D-56 unseat() takes the office from the leader that it names, and from nobody else",
          "leadership ends when somebody removes its key",
        ],
      },
    ],
  })
}
