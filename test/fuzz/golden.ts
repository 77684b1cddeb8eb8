/** The recorded documents of a live Go cluster, as starting points. */
import { readFileSync } from "node:fs"
import { Glob } from "bun"
import { type Tree, treeOf } from "./mutate.ts"

const root = `${import.meta.dir}/../golden/store`
const infos = /^(keeper|proxy|sentinel)info\//

const read = (wanted: (file: string) => boolean): readonly Tree[] =>
  [...new Glob("**/*.json").scanSync(root)]
    .toSorted()
    .filter(wanted)
    .map((file) => readFileSync(`${root}/${file}`, "utf8"))
    .filter((text) => text !== "null")
    .map(treeOf)

export const clusterDatas = read((file) => !infos.test(file) && !file.startsWith("unknown-fields"))
export const keeperInfos = read((file) => file.startsWith("keeperinfo/"))
export const proxyInfos = read((file) => file.startsWith("proxyinfo/"))
export const sentinelInfos = read((file) => file.startsWith("sentinelinfo/"))

/** Specifications that use every field. */
export const specs: readonly Tree[] = [
  ...["spec-defaults.json", "spec-live.json", "spec-plain.json"].map((file) =>
    treeOf(readFileSync(`${root}/../cli/${file}`, "utf8")),
  ),
  treeOf(
    JSON.stringify({
      sleepInterval: "5s",
      failInterval: "20s",
      deadKeeperRemovalInterval: "48h",
      proxyCheckInterval: "5s",
      proxyTimeout: "15s",
      maxStandbys: 20,
      maxStandbyLag: 1_232_896,
      synchronousReplication: true,
      minSynchronousStandbys: 1,
      maxSynchronousStandbys: 2,
      additionalWalSenders: 3,
      additionalMasterReplicationSlots: ["backup", "other_1"],
      initMode: "pitr",
      role: "standby",
      newConfig: { locale: "C", encoding: "UTF8", dataChecksums: true },
      pitrConfig: {
        dataRestoreCommand: "cp %d",
        archiveRecoverySettings: { restoreCommand: "cp %f %p" },
        recoveryTargetSettings: { recoveryTargetXid: "7", recoveryTargetTimeline: "latest" },
      },
      existingConfig: { keeperUID: "keeper0" },
      standbyConfig: {
        standbySettings: { primaryConninfo: "host=a", primarySlotName: "s" },
        archiveRecoverySettings: { restoreCommand: "x" },
      },
      defaultSUReplAccessMode: "strict",
      pgParameters: { work_mem: "4MB", "a.b": "'\\" },
      pgHBA: ["host all all 10.0.0.0/8 md5"],
      automaticPgRestart: true,
      selfFencing: true,
      fencingLease: "2s",
      failureDetection: "evidence",
    }),
  ),
]
