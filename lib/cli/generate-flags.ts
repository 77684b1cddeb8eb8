/**
 * Flags of `stolon generate` and its subcommands: what the files for Kubernetes, systemd and
 * Compose shall say. A flag that would let a password be typed does not exist: arguments are
 * visible in ps.
 *
 * Each rule refuses what the other side would refuse later, with a worse message and on another
 * machine.
 */
import { portRule, storeFlags } from "./common.ts"
import { table } from "./flag.ts"
import {
  addressRule,
  dnsLabel,
  imageRule,
  nameRule,
  pathRule,
  resourcesRule,
  storageRule,
  userRule,
  versionRule,
  clusterRule,
} from "./generate-rules.ts"

const cluster = "Cluster"
const output = "Output"
const parts = "Parts"
const clients = "Clients"

const many = (standard: number, doc: string) =>
  ({ type: "int", default: standard, min: 1, group: parts, placeholder: "N", doc }) as const

const common = table({
  "cluster-name": {
    type: "string",
    required: true,
    env: "common",
    group: cluster,
    placeholder: "NAME",
    rule: clusterRule,
    doc: "cluster name; everything that is made is named after it",
  },
  "with-passwords": {
    type: "bool",
    env: "none",
    group: output,
    doc: "make passwords and put them into the output; without, it says how to make them",
  },
  output: {
    type: "string",
    shorthand: "o",
    env: "none",
    group: output,
    placeholder: "DIR",
    doc: "write files into this directory instead of to standard output; nothing is overwritten",
  },
  force: {
    type: "bool",
    env: "none",
    group: output,
    doc: "overwrite files in --output that differ",
  },
  "shutdown-timeout": {
    type: "duration",
    default: "10s",
    env: "none",
    group: clients,
    doc: "how long a proxy that ends waits for sessions to become idle",
  },
  "stop-timeout": {
    type: "duration",
    default: "60s",
    env: "none",
    group: parts,
    doc: "how long a keeper may take to stop its PostgreSQL before it is killed",
  },
})

const proxyPort = (standard: string, doc: string) =>
  ({
    type: "string",
    default: standard,
    env: "none",
    group: clients,
    placeholder: "PORT",
    rule: portRule,
    doc,
  }) as const

const image = table({
  image: {
    type: "string",
    env: "none",
    group: parts,
    placeholder: "IMAGE",
    rule: imageRule,
    doc: "container image; empty: stolon of this version, as make image names it",
  },
})

const wanted = (doc: string, standard: string) =>
  ({
    type: "list",
    default: standard,
    env: "none",
    group: parts,
    placeholder: "cpu=N,memory=N",
    rule: resourcesRule,
    doc,
  }) as const

export const kubernetesFlags = table({
  ...common,
  namespace: {
    type: "string",
    env: "none",
    group: cluster,
    placeholder: "NAME",
    rule: dnsLabel,
    doc: "namespace of all objects; empty: that of kubectl",
  },
  "store-backend": {
    type: "choice",
    choices: ["kubernetes", "etcdv3"],
    default: "kubernetes",
    goInvalid: null,
    env: "none",
    group: cluster,
    placeholder: "KIND",
    doc: "where the cluster data are: kubernetes (a ConfigMap), or an etcd that you run",
  },
  "store-endpoints": { ...storeFlags["store-endpoints"], env: "none", doc: "URLs of the etcd" },
  keepers: many(3, "how many keepers, each with a PostgreSQL and a volume"),
  sentinels: many(2, "how many sentinels; one leads, the others take over"),
  proxies: many(2, "how many proxies"),
  ...image,
  "image-pull-policy": {
    type: "choice",
    choices: ["", "Always", "IfNotPresent", "Never"],
    default: "",
    goInvalid: null,
    env: "none",
    group: parts,
    placeholder: "WORD",
    doc: "when nodes fetch the image; empty: Kubernetes' default",
  },
  "storage-class": {
    type: "string",
    env: "none",
    group: parts,
    placeholder: "NAME",
    rule: nameRule,
    doc: "storage class of the keepers' volumes; empty: the default of the Kubernetes cluster",
  },
  "storage-size": {
    type: "string",
    default: "10Gi",
    env: "none",
    group: parts,
    placeholder: "SIZE",
    rule: storageRule,
    doc: "size of each keeper's volume",
  },
  "keeper-resources": wanted(
    "what each keeper with its PostgreSQL asks for; empty: nothing",
    "cpu=500m,memory=1Gi",
  ),
  "sentinel-resources": wanted("what each sentinel asks for", "cpu=100m,memory=256Mi"),
  "proxy-resources": wanted("what each proxy asks for", "cpu=250m,memory=256Mi"),
  secret: {
    type: "string",
    env: "none",
    group: cluster,
    placeholder: "NAME",
    rule: nameRule,
    doc: "Secret with the keys superuser and replication; empty: CLUSTER-passwords",
  },
  "anti-affinity": {
    type: "choice",
    choices: ["required", "preferred"],
    default: "required",
    goInvalid: null,
    env: "none",
    group: parts,
    placeholder: "WORD",
    doc: "keepers on one node: required (never), or preferred (when there is no other)",
  },
  port: proxyPort("5432", "port of the Services and of the proxies"),
  "read-only-port": proxyPort("5433", "port of the proxies that leads to standbys"),
  "service-type": {
    type: "choice",
    choices: ["ClusterIP", "NodePort", "LoadBalancer"],
    default: "ClusterIP",
    goInvalid: null,
    env: "none",
    group: clients,
    placeholder: "TYPE",
    doc: "type of the two Services that clients use",
  },
  "kubernetes-version": {
    type: "string",
    default: "1.25",
    env: "none",
    group: output,
    placeholder: "1.N",
    rule: versionRule,
    doc: "the oldest API server that shall accept the manifests (1.20 or later)",
  },
})

export const systemdFlags = table({
  ...common,
  "store-backend": {
    type: "choice",
    choices: ["etcdv3", "sqlite"],
    default: "etcdv3",
    goInvalid: null,
    env: "none",
    group: cluster,
    placeholder: "KIND",
    doc: "where the cluster data are; sqlite only when all parts run on one machine",
  },
  "store-endpoints": {
    ...storeFlags["store-endpoints"],
    env: "none",
    doc: "URLs of the etcd, or the file of sqlite",
  },
  "store-ca-file": { ...storeFlags["store-ca-file"], env: "none", group: cluster },
  "store-cert-file": { ...storeFlags["store-cert-file"], env: "none", group: cluster },
  "store-key": { ...storeFlags["store-key"], env: "none", group: cluster },
  "store-user": { ...storeFlags["store-user"], env: "none" },
  parts: {
    type: "list",
    default: "keeper,sentinel,proxy",
    env: "none",
    group: parts,
    placeholder: "A,B",
    rule: (text) =>
      text.split(",").every((word) => ["keeper", "sentinel", "proxy"].includes(word))
        ? null
        : "expected keeper, sentinel and proxy, or some of them, separated by commas",
    doc: "which parts this machine runs",
  },
  address: {
    type: "string",
    env: "none",
    group: parts,
    placeholder: "ADDR",
    rule: addressRule,
    doc: "address of this machine, for its PostgreSQL; empty: to be filled in later",
  },
  uid: {
    type: "string",
    env: "none",
    group: parts,
    placeholder: "UID",
    rule: (text) =>
      /^[a-z0-9_-]*$/.test(text) ? null : "expected lower-case letters, digits, _ and -",
    doc: "name of this machine's keeper; empty: a random one that it keeps",
  },
  "data-dir": {
    type: "string",
    default: "/var/lib/stolon/keeper",
    env: "none",
    group: parts,
    placeholder: "DIR",
    rule: pathRule,
    doc: "directory of the keeper; below /var/lib it is made by systemd",
  },
  "pg-bin-path": {
    type: "string",
    env: "none",
    group: parts,
    placeholder: "DIR",
    rule: (text) => (text === "" ? null : pathRule(text)),
    doc: "directory of the PostgreSQL programs; empty: those in PATH",
  },
  "pg-port": {
    ...proxyPort("5432", "port of PostgreSQL on this machine"),
    group: parts,
  },
  user: {
    type: "string",
    default: "postgres",
    env: "none",
    group: parts,
    placeholder: "NAME",
    rule: userRule,
    doc: "user of all parts; not root",
  },
  binary: {
    type: "string",
    default: "/usr/local/bin/stolon",
    env: "none",
    group: parts,
    placeholder: "FILE",
    rule: pathRule,
    doc: "where the executable is",
  },
  "config-dir": {
    type: "string",
    default: "/etc/stolon",
    env: "none",
    group: output,
    placeholder: "DIR",
    rule: pathRule,
    doc: "where the environment files will be",
  },
  "listen-address": {
    type: "string",
    default: "0.0.0.0",
    env: "none",
    group: clients,
    placeholder: "ADDR",
    rule: addressRule,
    doc: "address of the proxy for clients",
  },
  port: proxyPort("25432", "port of the proxy that leads to the primary"),
  "read-only-port": proxyPort("25433", "port of the proxy that leads to standbys"),
})

export const composeFlags = table({
  ...common,
  etcds: many(3, "how many etcd members: 1, 3 or 5"),
  keepers: many(3, "how many keepers, each with a PostgreSQL and a volume"),
  sentinels: many(2, "how many sentinels; one leads, the others take over"),
  proxies: many(1, "how many proxies; the next one's ports are higher by ten"),
  ...image,
  "etcd-image": {
    type: "string",
    env: "none",
    group: parts,
    placeholder: "IMAGE",
    rule: imageRule,
    doc: "container image with etcd; empty: stolon-etcd of this version, as make image names it",
  },
  bind: {
    type: "string",
    default: "127.0.0.1",
    env: "none",
    group: clients,
    placeholder: "ADDR",
    rule: addressRule,
    doc: "address of this machine on which clients reach the proxies",
  },
  port: proxyPort("5432", "port of this machine that leads to the primary"),
  "read-only-port": proxyPort("5433", "port of this machine that leads to standbys"),
})
