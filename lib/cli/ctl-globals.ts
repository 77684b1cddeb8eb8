/**
 * The flags that every subcommand of `ctl` takes; they may stand before or after the subcommand.
 */
import { storeFlags } from "./common.ts"
import { table } from "./flag.ts"

const kubernetes = "Kubernetes"

export const ctlGlobals = table({
  ...storeFlags,
  kubeconfig: {
    type: "string",
    group: kubernetes,
    placeholder: "FILE",
    doc: "path of the kubeconfig file",
  },
  "kube-context": {
    type: "string",
    group: kubernetes,
    placeholder: "NAME",
    doc: "context of the kubeconfig file to use",
  },
  "kube-namespace": {
    type: "string",
    group: kubernetes,
    placeholder: "NAME",
    doc: "namespace of the cluster",
  },
  "log-level": {
    type: "choice",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    goInvalid: null,
    env: "common",
    only: "go",
    group: "Logging",
    doc: "accepted and ignored, as by Go's stolonctl",
  },
  "metrics-listen-address": {
    type: "string",
    env: "common",
    only: "go",
    group: "Logging",
    doc: "accepted and ignored, as by Go's stolonctl",
  },
})
