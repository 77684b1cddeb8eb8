/**
 * The suite's clusters on Kubernetes. There a component publishes in the pod that it runs in, while
 * the suite publishes for many from one process: so each publisher gets a pod, and a store opened
 * for that pod alone, which is the one that users have.
 */
import { millis } from "#base/brand.ts"
import { sentinelUID } from "#model/ids.ts"
import type { Publisher, Store, StoreSettings } from "#port/store.ts"
import { openStore } from "#store/open.ts"
import type { Role } from "./holder.ts"
import type { KubeServer } from "./kube-server.ts"
import { settingsOf } from "./scene.ts"

export interface KubeScenes {
  settings(clusterName: string): StoreSettings
  open(settings: StoreSettings): Promise<Store>
  forChild(settings: StoreSettings, role: Role): StoreSettings
}

/** @param kubeconfig Whose rights everything is done with. */
export function kubeScenes(server: () => KubeServer, kubeconfig: () => string): KubeScenes {
  const made = new Map<string, Promise<unknown>>()
  const ensure = (settings: StoreSettings, who: Publisher): Promise<unknown> => {
    const name = podName(settings, who)
    const pod = made.get(name) ?? server().pod(name, settings.clusterName, who.kind)
    made.set(name, pod)
    return pod
  }
  return {
    settings: (clusterName) => ({
      ...settingsOf("kubernetes", [], clusterName, millis(5000)),
      kubernetes: { kubeconfig: kubeconfig(), context: "", namespace: "", podName: null },
    }),
    async open(settings) {
      const publishers = new Map<string, Promise<Store>>()
      const own = async (who: Publisher): Promise<Store> => {
        await ensure(settings, who)
        const name = podName(settings, who)
        const store = publishers.get(name) ?? openStore(inPod(settings, name))
        publishers.set(name, store)
        return store
      }
      const base = await openStore(settings)
      for (const uid of childUids) await ensure(settings, { kind: "sentinel", uid })
      return {
        ...base,
        async publish(what, ttl, signal) {
          const store = await own(publisherOf(what))
          return store.publish(what, ttl, signal)
        },
        async withdraw(who, signal) {
          const store = await own(who)
          return store.withdraw(who, signal)
        },
        async [Symbol.asyncDispose]() {
          for (const store of publishers.values()) await (await store)[Symbol.asyncDispose]()
          await base[Symbol.asyncDispose]()
        },
      }
    },
    forChild: (settings, role) =>
      role.kind === "publish"
        ? inPod(settings, `${settings.clusterName}-sentinel-${role.uid}`)
        : settings,
  }
}

/** Those that the suite's processes publish as. */
const childUids = ["s2", "s9"].map((uid) => sentinelUID(uid))

const publisherOf = (what: Parameters<Store["publish"]>[0]): Publisher => {
  switch (what.kind) {
    case "keeper":
      return { kind: "keeper", uid: what.info.uid }
    case "sentinel":
      return { kind: "sentinel", uid: what.info.UID }
    case "proxy":
      return { kind: "proxy", uid: what.info.UID }
  }
}

const podName = ({ clusterName }: StoreSettings, { kind, uid }: Publisher): string =>
  `${clusterName}-${kind}-${uid}`

export const inPod = (settings: StoreSettings, podName: string): StoreSettings => ({
  ...settings,
  kubernetes: {
    ...(settings.kubernetes ?? { kubeconfig: "", context: "", namespace: "" }),
    podName,
  },
})
