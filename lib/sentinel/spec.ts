/** Words about the cluster specification that several rules use. */
import type { FullSpec } from "#model/spec.ts"

/** Commits wait for standbys; in a standby cluster there are none to wait. */
export const isSynchronous = (spec: FullSpec): boolean =>
  spec.synchronousReplication && spec.role === "master"
