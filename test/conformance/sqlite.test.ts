/**
 * The sqlite backend against files on this machine's disk: the common suite, and what only a file
 * can suffer.
 */
import { Database } from "bun:sqlite"
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { millis } from "#base/brand.ts"
import { openStore } from "#store/open.ts"
import { document, keeper, never, s, scene, settingsOf } from "./scene.ts"
import { storeConformance } from "./store.ts"
import { timed, until } from "./wait.ts"

let directory = ""
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stolon-sqlite-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

storeConformance({
  name: "sqlite",
  settings: (clusterName) => settingsOf("sqlite", [join(directory, "store.db")], clusterName),
  skip: [],
})

describe("sqlite: the file", () => {
  const on = (file: string, timeout = 1000): ReturnType<typeof scene> =>
    scene((name) => settingsOf("sqlite", [join(directory, file)], name, millis(timeout)))

  test("is created for its owner only, with its directory", async () => {
    await using here = on("deep/er/store.db")
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    const [folder, ...files] = ["", "/store.db", "/store.db-wal", "/store.db-shm"].map(
      (name) => statSync(join(directory, `deep/er${name}`)).mode & 0o777,
    )
    expect(folder).toBe(0o700)
    expect(files).toEqual([0o600, 0o600, 0o600])
  })

  test("of another program, or damaged, is refused and left as it was", async () => {
    const foreign = join(directory, "foreign.db")
    const other = new Database(foreign)
    other.run("CREATE TABLE theirs(x)")
    other.close()
    writeFileSync(
      join(directory, "text.db"),
      "this is no database, and it is long enough to be looked at ".repeat(20),
    )
    const damaged = join(directory, "damaged.db")
    {
      await using here = on("damaged.db")
      const kv = await here.raw()
      for (let i = 0; i < 50; i++)
        await kv.swap(`key${i}`, "x".repeat(2000), { kind: "absent" }, null, never)
    }
    const bytes = readFileSync(damaged)
    bytes.fill(0x55, 4096, 4096 * 12)
    writeFileSync(damaged, bytes)
    for (const [file, code, text] of [
      ["foreign.db", "invalid", "is a database of another program"],
      ["text.db", "invalid", "is not a database"],
      ["damaged.db", "malformed", "is damaged"],
    ] as const) {
      const before = readFileSync(join(directory, file))
      await using here = on(file)
      const { error } = await timed(() => here.store())
      expect(error).toMatchObject({ code, message: expect.stringContaining(text) })
      expect(readFileSync(join(directory, file))).toEqual(before)
    }
  })

  test("that cannot be opened says why", async () => {
    await using here = on("text.db/below/a/file.db")
    writeFileSync(join(directory, "text.db"), "")
    const { error } = await timed(() => here.store())
    expect(error).toMatchObject({ code: "denied", message: expect.stringContaining("ENOTDIR") })
    for (const endpoints of [[], ["a.db", "b.db"]]) {
      const wrong = await timed(() => openStore({ ...here.settings, endpoints }))
      expect(wrong.error).toMatchObject({ code: "invalid" })
    }
  })

  test("that another process keeps locked is unavailable after the timeout, and nothing blocks meanwhile", async () => {
    await using here = on("locked.db", 500)
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    const holder = new Database(join(directory, "locked.db"))
    holder.run("BEGIN IMMEDIATE")
    let ticks = 0
    const ticking = setInterval(() => ticks++, 5)
    const write = await timed(() => store.write(document(), { kind: "anything" }, null, never))
    clearInterval(ticking)
    expect(write.error).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("locked"),
    })
    expect(write.ms).toBeGreaterThan(450)
    expect(write.ms).toBeLessThan(900)
    expect(ticks).toBeGreaterThan(40)
    expect((await store.read(never)).kind).toBe("found") // readers do not wait for writers
    const late = store.write(document(), { kind: "anything" }, null, never)
    holder.run("COMMIT")
    expect((await late).kind).toBe("written")
    holder.close()
  })

  test("that was removed under a running process is never created anew", async () => {
    await using here = on("removed.db")
    const store = await here.store()
    await store.write(document(), { kind: "absent" }, null, never)
    for (const suffix of ["", "-wal", "-shm"]) rmSync(join(directory, `removed.db${suffix}`))
    for (const call of [
      () => store.read(never),
      () => store.write(document(), { kind: "anything" }, null, never),
    ])
      expect((await timed<unknown>(call)).error).toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("removed or replaced"),
      })
    expect(existsSync(join(directory, "removed.db"))).toBe(false)
  })

  test("times to live end with the boot of the machine", async () => {
    await using here = on("boot.db")
    const store = await here.store()
    await store.publish(keeper("k1"), millis(60_000), never)
    const office = await store.campaign(s("s0"), never)
    expect((await store.infos(never)).keepers.size).toBe(1)
    const other = new Database(join(directory, "boot.db"))
    other.run("UPDATE kv SET boot = 'another' WHERE boot IS NOT NULL")
    other.close()
    expect((await store.infos(never)).keepers.size).toBe(0)
    expect(await store.leader(never)).toBeNull()
    const unaware = { ...office, signal: never }
    const write = await store.write(document(), { kind: "anything" }, unaware, never)
    expect(write).toEqual({ kind: "conflict" })
    await until("the leader to notice", () => office.signal.aborted, 4000)
  })

  test("does not grow with the number of writes, and a late watch misses nothing", async () => {
    await using here = on("grow.db", 5000)
    const [kv, store] = [await here.raw(), await here.store()]
    const seen = await here.watch(store, "clusterdata")
    const key = `${here.base}/other`
    for (let i = 0; i < 3000; i++) await kv.swap(key, String(i), { kind: "anything" }, null, never)
    const db = new Database(join(directory, "grow.db"), { readonly: true })
    const row = db.query<{ readonly n: number }, []>("SELECT count(*) AS n FROM event").get()
    db.close()
    expect(row?.n).toBeLessThan(1400)
    const before = seen.wakes
    await kv.swap(`${here.base}/clusterdata`, "null", { kind: "anything" }, null, never)
    await until("a wake-up", () => seen.wakes > before, 1000)
  })
})
