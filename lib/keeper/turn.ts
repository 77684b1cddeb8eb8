/**
 * Whose turn it is to restart for a parameter (`automaticPgRestart`, D-46): standbys first, one
 * after the other, the primary last. So a raised parameter is in force on every standby before the
 * primary's WAL demands it; a lowered one stays as it is on standbys until their primary was
 * restarted (`render.ts`), and then it is their turn again. Never are all down at once.
 *
 * The others are judged by what they publish. One that is gone does not count, one that takes too
 * long is not waited for for ever: a restart that comes out of turn costs a standby a pause, not
 * data.
 */
import { type Millis, millis } from "#base/brand.ts"
import type { ClusterData, DB } from "#model/cluster.ts"
import type { KeeperInfo } from "#model/info.ts"
import type { Local } from "#model/local.ts"
import { withDefaults } from "#model/spec.ts"
import type { World } from "./outline.ts"

/** How long the others are waited for. */
export const turnTime: Millis = millis(60_000)

/** Whether a plan has use for what the others publish. */
export const asksOthers = (view: ClusterData | null, { server }: Local): boolean =>
  view !== null &&
  server.kind === "up" &&
  server.pendingRestart &&
  withDefaults(view.cluster.spec).automaticPgRestart

/** Who has to be through with it first, or null: it is our turn. */
export function before({ want, others }: World): string | null {
  if (others === null) return "the others have not been heard"
  const mine = want.db.uid
  const first = (db: DB): boolean =>
    db.spec.role === "standby" &&
    (want.role.kind === "internal" ? sameFollow(db, want.db) && db.uid < mine : follows(db, mine))
  for (const db of want.others) {
    const info = others.find(({ uid }) => uid === db.spec.keeperUID)
    if (info !== undefined && first(db) && !isThrough(db, info))
      return `DB ${db.uid} restarts first`
  }
  return null
}

const follows = (db: DB, uid: DB["uid"]): boolean =>
  db.spec.followConfig?.type === "internal" && db.spec.followConfig.dbuid === uid
const sameFollow = (db: DB, own: DB): boolean =>
  own.spec.followConfig?.type === "internal" && follows(db, own.spec.followConfig.dbuid)

/** It has loaded what it was told, runs with it, and answers. */
const isThrough = (db: DB, { postgresState: state }: KeeperInfo): boolean =>
  state?.uid === db.uid &&
  state.generation === db.generation &&
  state.healthy &&
  !state.pendingRestart
