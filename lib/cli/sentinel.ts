/**
 * The sentinel's flags (reference 1.5). The file that --initial-cluster-spec names is read and
 * checked by the command at its start, before the store is opened.
 */
import { debugFlag, serviceFlags, storeFlags } from "./common.ts"
import { command, table } from "./flag.ts"
import { peerFlags } from "./peer.ts"

export const sentinelFlags = table({
  "initial-cluster-spec": {
    type: "string",
    group: "Sentinel",
    placeholder: "FILE",
    doc: "cluster specification (JSON) to start a cluster with when the store has none yet",
  },
})

export const sentinelCommand = command({
  name: "sentinel",
  summary: "watch the cluster and decide who is primary",
  about: [
    "Sentinels elect a leader among themselves; the leader reads what keepers and proxies report and writes what they shall do.",
    "Run two or three, on different machines.",
  ],
  prefix: "STSENTINEL",
  flags: { ...storeFlags, ...sentinelFlags, ...peerFlags, ...serviceFlags, ...debugFlag },
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: true,
  goSummary: "",
  examples: [
    {
      line: "stolon sentinel --cluster-name prod --store-backend etcdv3 --store-endpoints http://10.0.0.1:2379",
      doc: "one of the sentinels of cluster prod",
    },
  ],
})
