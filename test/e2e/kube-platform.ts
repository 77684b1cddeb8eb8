/**
 * A cluster's place on a real API server: a pod object, a token and rights of its own for each
 * component, as the manifests give them. There is no kubelet: processes of this machine play the
 * pods, nobody starts anything again and nobody sets addresses.
 */
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import type { KubeServer } from "#test/conformance/kube-server.ts"
import { settingsOf } from "#test/conformance/scene.ts"
import { clusterName, type ComponentKind, type Platform } from "./cluster.ts"
import { own } from "./place.ts"

export interface KubePlatform extends Platform {
  /** Of the component's pod object, in the API. */
  podOf(name: string): string
  /** All that have been prepared. */
  readonly names: readonly string[]
  /** Gives a component another token; the one before stays good until its account goes. */
  rotate(name: string): Promise<void>
}

export async function kubePlatform(server: KubeServer): Promise<KubePlatform> {
  const kinds = new Map<string, ComponentKind>()
  const tokenFile = (name: string): string => join(server.directory, `token-${name}`)
  const podOf = (name: string): string => `${clusterName}-${name}`
  const rotate = async (name: string): Promise<void> => {
    const kind = kinds.get(name)
    if (kind === undefined) throw new Error(`there is no ${name}`)
    writeFileSync(tokenFile(name), await server.token(kind))
    await own(tokenFile(name))
  }
  chmodSync(server.directory, 0o755)
  const outside = tokenFile("ctl")
  writeFileSync(outside, await server.token("ctl"))
  chmodSync(outside, 0o644)
  const kubeconfig = server.kubeconfig({ tokenFile: outside })
  const settings = {
    ...settingsOf("kubernetes", [], clusterName, millis(5000)),
    kubernetes: { kubeconfig, context: "", namespace: "", podName: null },
  }
  // who comes later under a name finds the pod of the one before
  const prepare = async (name: string, kind: ComponentKind) => {
    if (!kinds.has(name)) {
      kinds.set(name, kind)
      await server.pod(podOf(name), clusterName, kind)
      await rotate(name)
    }
    return {
      KUBECONFIG: server.kubeconfig({ tokenFile: tokenFile(name) }),
      POD_NAME: podOf(name),
    }
  }
  return {
    settings,
    flags: ["--store-backend=kubernetes", `--kubeconfig=${kubeconfig}`],
    inside: ["--store-backend=kubernetes"],
    get names() {
      return [...kinds.keys()]
    },
    podOf,
    rotate,
    prepare,
    async settingsOf(name, kind) {
      const { KUBECONFIG: file, POD_NAME: podName } = await prepare(name, kind)
      return {
        ...settings,
        kubernetes: { kubeconfig: file, context: "", namespace: "", podName },
      }
    },
  }
}
