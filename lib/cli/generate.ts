/**
 * `stolon generate` and its subcommands, as data: what help and completion show of them. Their
 * flags are in `generate-flags.ts`. Ours alone: under a Go name they do not exist.
 */
import { command } from "./flag.ts"
import { composeFlags, kubernetesFlags, systemdFlags } from "./generate-flags.ts"
import type { Node } from "./tree.ts"

const sub = {
  prefix: null,
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: false,
  extension: true,
} as const

export const generateCommand = command({
  ...sub,
  name: "generate",
  summary: "print files to deploy a cluster: for Kubernetes, systemd or Compose",
  about: [
    "Everything is set by flags, nothing is read and nobody is asked. The output holds no password unless --with-passwords.",
  ],
  flags: {},
  examples: [
    {
      line: "stolon generate kubernetes --cluster-name prod | kubectl apply -f -",
      doc: "a cluster on Kubernetes; the first lines of the output say what comes before and after",
    },
  ],
})

export const generateKubernetesCommand = command({
  ...sub,
  name: "kubernetes",
  summary: "manifests: StatefulSet, Deployments, Services, rights",
  about: [
    "Keepers as a StatefulSet with a volume each, sentinels and proxies as Deployments, a Service for the primary and one for",
    "standbys, accounts with the rights that each component needs and no more, and bounds for who drains nodes. Nothing begins",
    "the cluster: that is stolon ctl init, once, as the first lines of the output say.",
  ],
  flags: kubernetesFlags,
  examples: [
    {
      line: "stolon generate kubernetes --cluster-name prod --namespace databases --storage-size 100Gi --keeper-resources cpu=2,memory=8Gi",
      doc: "three keepers with 100 GiB each",
    },
    {
      line: "stolon generate kubernetes --cluster-name try --anti-affinity preferred --with-passwords | kubectl apply -f -",
      doc: "on a single node, with passwords that are made now",
    },
  ],
})

export const generateSystemdCommand = command({
  ...sub,
  name: "systemd",
  summary: "units and environment files for machines",
  about: [
    "A unit for each part, one environment file that all share, and one for the keeper with the passwords. Without --output all",
    "go to standard output, each below a line with its name. The same on every machine but for --address, --uid and --parts.",
  ],
  flags: systemdFlags,
  examples: [
    {
      line: "stolon generate systemd --cluster-name prod --store-endpoints http://10.0.0.1:2379,http://10.0.0.2:2379 --address 10.0.0.11 --uid pg1 --output stolon-pg1",
      doc: "the files of one machine, in a directory",
    },
    {
      line: "stolon generate systemd --cluster-name prod --store-endpoints http://10.0.0.1:2379 --parts proxy",
      doc: "a machine that runs a proxy only",
    },
  ],
})

export const generateComposeCommand = command({
  ...sub,
  name: "compose",
  summary: "a Compose file: etcd, keepers, sentinels and proxies on one machine",
  about: [
    "A whole cluster in containers of one engine, to try, to develop against and to break. Three members of etcd, three keepers",
    "with volumes, two sentinels, a proxy. One machine is one point of failure: for production see kubernetes and systemd.",
  ],
  flags: composeFlags,
  examples: [
    {
      line: "stolon generate compose --cluster-name try --with-passwords > compose.yaml",
      doc: "then: docker compose up -d",
    },
  ],
})

const leaf = (it: Node["command"]): Node => ({ command: it, children: [] })
export const generateTree: Node = {
  command: generateCommand,
  children: [
    leaf(generateKubernetesCommand),
    leaf(generateSystemdCommand),
    leaf(generateComposeCommand),
  ],
}
