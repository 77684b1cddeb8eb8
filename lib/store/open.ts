/**
 * Opens the store that the settings name. Each backend is loaded only when it is asked for: etcd's
 * client alone would cost every start of the program a tenth of a second.
 *
 * Settings that cannot work fail here, with Go's texts where Go has them; whether the store answers
 * shows at the first request.
 */
import { never } from "#base/brand.ts"
import { type Store, type StoreSettings } from "#port/store.ts"
import { realClock } from "#system/clock.ts"
import { refused } from "./endpoints.ts"
import type { KeyValue } from "./keyvalue.ts"
import { storeOver } from "./store.ts"

export async function openStore(
  settings: StoreSettings,
  signal: AbortSignal = new AbortController().signal,
): Promise<Store> {
  return storeOver(await openKeyValue(settings, signal), settings)
}

/** The backend itself, without the words of a cluster. */
export async function openKeyValue(
  settings: StoreSettings,
  signal: AbortSignal,
): Promise<KeyValue> {
  switch (settings.backend) {
    case "sqlite": {
      const file = onlyFile(settings.endpoints)
      const { openSqlite } = await import("./sqlite.ts")
      return openSqlite({ file, timeout: settings.timeout }, realClock, signal)
    }
    case "etcdv3": {
      const { openEtcd } = await import("./etcdv3.ts")
      return openEtcd(settings, realClock)
    }
    case "etcdv2": {
      const { openEtcdV2 } = await import("./etcdv2.ts")
      return openEtcdV2(settings, realClock)
    }
    case "consul": {
      const { openConsul } = await import("./consul.ts")
      return openConsul(settings, realClock)
    }
    case "kubernetes": {
      const { openKubernetes } = await import("./kubernetes.ts")
      return openKubernetes(settings, realClock)
    }
    default:
      return never(settings.backend)
  }
}

function onlyFile(endpoints: readonly string[]): string {
  const [file, ...more] = endpoints.filter((entry) => entry.trim() !== "")
  if (file === undefined) throw refused("sqlite needs the path of a file as --store-endpoints")
  if (more.length > 0) throw refused("sqlite does not support multiple endpoints")
  return file
}
