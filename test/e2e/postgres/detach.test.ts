/**
 * A standby that lets go of its primary (L3): once it has said so, no commit over there is
 * confirmed by it any more. Tried over and over, because the WAL receiver and the startup process
 * each take a reload at their own moment.
 */
import { expect, test } from "bun:test"
import { epoch } from "#model/ids.ts"
import { sourceTarget } from "#postgres/clone.ts"
import { newSession, type Session } from "#postgres/session.ts"
import { type Account, passwordOf } from "#postgres/settings.ts"
import { realClock } from "#system/clock.ts"
import { until } from "../../unit/system/until.ts"
import { asPostgres } from "../run-as.ts"
import { files, type Keeper, keeper, never, primary, seconds, standby } from "./keeper.ts"

const rounds = 8

const app: Account = { name: "app", method: "trust", password: "" }
function session(of: Keeper, account: Account): Session {
  const target = sourceTarget(of.source, account, {})
  return newSession({ ...target, password: passwordOf(account) }, realClock, seconds(30))
}

if (asPostgres(import.meta.path)) {
  test("L3 after detach() this standby confirms no commit any more, however busy the primary is", async () => {
    await using a = await keeper("old")
    await using b = await keeper("leaving")
    await primary(a)
    await standby(b, a, "db2")
    const admin = session(a, a.settings.superuser)
    await admin.run(
      "create role app login; create table writes (n int); grant all on writes to app",
      never,
    )
    const load = async (of: Keeper, change: Parameters<typeof files>[1]): Promise<void> => {
      const revision = `r${Math.random()}`
      await of.run({ kind: "write-config", files: files(of, { ...change, revision }) })
      await of.run({ kind: "reload", revision, timeout: seconds(5) })
    }
    const insert = (client: Session): Promise<string> =>
      client.run("insert into writes values (1)", never, seconds(30)).then(
        () => "acknowledged",
        () => "lost",
      )
    for (let i = 0; i < rounds; i++) {
      await load(b, { follow: a, own: "db2" })
      await load(a, { sync: "stolon_db2" })
      await a.run({ kind: "prove-sync", names: "stolon_db2", timeout: seconds(10) })
      const writer = session(a, app)
      let acknowledged = 0
      const writing = (async () => {
        while ((await insert(writer)) === "acknowledged") acknowledged++
      })()
      await until("commits", () => acknowledged > 20, 10_000)
      await load(b, { signal: "standby" })
      await b.run({ kind: "detach", epoch: epoch("e1"), timeout: seconds(10) })
      const [before, late] = [acknowledged, session(a, app)]
      const one = insert(late)
      const waited = await Promise.race([one, Bun.sleep(400).then(() => "waits")])
      expect(waited).toBe("waits")
      expect(acknowledged).toBeLessThanOrEqual(before + 1) // its answer may have been under way
      writer.close()
      late.close()
      await writing
      await admin.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
        never,
      )
      await load(a, {})
    }
    admin.close()
  }, 90_000)

  test("detach() does not come true while the standby may still follow", async () => {
    await using a = await keeper("old")
    await using b = await keeper("staying")
    await primary(a)
    await standby(b, a, "db2")
    const step = { kind: "detach", epoch: epoch("e1"), timeout: seconds(1) } as const
    await expect(b.run(step)).rejects.toThrow("has not ended")
    await expect(a.run(step)).rejects.toThrow("has not ended")
  }, 60_000)
}
