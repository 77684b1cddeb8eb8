/** Changing cluster data when others change them too, and when answers are lost (protocol W5). */
import { describe, expect, test } from "bun:test"
import type { ClusterData } from "#model/cluster.ts"
import type { Nonce } from "#model/ids.ts"
import {
  type Change,
  failChange,
  promoteCluster,
  removeChange,
  specChange,
  updateSpec,
} from "#ctl/edit.ts"
import { type Reading, type Store, StoreError, type Version, type Written } from "#port/store.ts"
import { commit } from "#cmd/ctl-write.ts"
import { keeper, threeKeepers } from "#test/unit/ctl/golden.ts"

/** What happens at each write: as the store would, or otherwise. */
type Fate =
  | "works"
  /** Somebody else is faster. */
  | "overtaken"
  /** Applied, the answer lost. */
  | "applied-unanswered"
  /** Applied, the answer lost, and the leader writes before we read again. */
  | "applied-and-rewritten"
  /** Not applied, the answer lost. */
  | "lost"
  /** Not applied, and somebody else writes meanwhile. */
  | "lost-and-rewritten"

interface Scripted extends Pick<Store, "read" | "write"> {
  readonly data: () => ClusterData
  readonly writes: () => number
}

function scripted(first: ClusterData, fates: readonly Fate[], readsFail = false): Scripted {
  let data = first
  let version = 1
  let writes = 0
  const put = (next: ClusterData): void => {
    data = next
    version++
  }
  /** The leader's own write: another mark, nothing else. */
  const rewrite = (): void =>
    put({
      ...data,
      cluster: { ...data.cluster, status: { ...data.cluster.status, writer: "leader" as Nonce } },
    })
  return {
    data: () => data,
    writes: () => writes,
    read: async (): Promise<Reading> => {
      if (readsFail && writes > 0) throw new StoreError("unavailable", "connection refused")
      return { kind: "found", data, version: String(version) as Version }
    },
    write: async (next, expected): Promise<Written> => {
      const fate = fates[writes++] ?? "works"
      if (fate === "overtaken") rewrite()
      const stands = expected.kind === "version" && expected.version === String(version)
      if (!stands) return { kind: "conflict" }
      if (fate === "works" || fate.startsWith("applied")) put(next)
      if (fate.endsWith("rewritten")) rewrite()
      if (fate === "works") return { kind: "written", version: String(version) as Version }
      return { kind: "unknown", why: "deadline exceeded" }
    },
  }
}

const nonce = "mine" as Nonce
const run = (store: Scripted, wanted: Change) =>
  commit(
    store as unknown as Store,
    wanted,
    { nonce, check: () => null },
    new AbortController().signal,
  )
const patch = specChange(updateSpec('{"failInterval":"9s"}', true, "strict"), "strict")
const fail = failChange(keeper("pg1"), "strict")
const remove = (uid: string): Change => removeChange(keeper(uid), "strict")
const wait = (it: Scripted) => it.data().cluster.spec.failInterval

describe("commit()", () => {
  test("writes the edit with its mark", async () => {
    const store = scripted(threeKeepers(), [])
    expect((await run(store, patch)).kind).toBe("written")
    expect(wait(store)).toBe(9_000_000_000n as never)
    expect(store.data().cluster.status.writer).toBe(nonce)
  })
  test("edits the newer data again when somebody else was faster", async () => {
    const store = scripted(threeKeepers(), ["overtaken", "overtaken"])
    expect((await run(store, patch)).kind).toBe("written")
    expect(store.writes()).toBe(3)
  })
  test("D-29 failkeeper and removekeeper try again when somebody else was faster", async () => {
    const failing = scripted(threeKeepers(), ["overtaken"])
    expect((await run(failing, fail)).kind).toBe("written")
    expect(failing.data().keepers.get(keeper("pg1"))?.status.forceFail).toBe(true)
    const removing = scripted(threeKeepers(), ["overtaken", "overtaken"])
    expect((await run(removing, remove("pg3"))).kind).toBe("written")
    expect(removing.data().keepers.has(keeper("pg3"))).toBe(false)
  })
  test("gives up after three conflicts and has written nothing", async () => {
    const store = scripted(threeKeepers(), ["overtaken", "overtaken", "overtaken"])
    expect(await run(store, patch)).toEqual({ kind: "conflicts" })
    expect(wait(store)).toBeUndefined()
    expect(store.writes()).toBe(3)
  })
  test("recognises its own write after a lost answer and does not write again", async () => {
    const store = scripted(threeKeepers(), ["applied-unanswered"])
    expect((await run(store, fail)).kind).toBe("written")
    expect(store.writes()).toBe(1)
  })
  test("recognises its own write even when the last answer was lost", async () => {
    const store = scripted(threeKeepers(), ["overtaken", "overtaken", "applied-unanswered"])
    expect((await run(store, patch)).kind).toBe("written")
  })
  test("writes again when the lost write was not applied and nothing changed", async () => {
    const store = scripted(threeKeepers(), ["lost"])
    expect((await run(store, fail)).kind).toBe("written")
    expect(store.writes()).toBe(2)
  })
  test("sees its effect although the leader has written over its mark", async () => {
    const removal = scripted(threeKeepers(), ["applied-and-rewritten"])
    expect((await run(removal, remove("pg3"))).kind).toBe("written")
    expect(removal.writes()).toBe(1)
    const update = scripted(threeKeepers(), ["applied-and-rewritten"])
    expect((await run(update, patch)).kind).toBe("written")
    expect(update.writes()).toBe(1)
  })
  test("tells a refusal after a lost answer, where the effect is not there", async () => {
    const data = threeKeepers()
    const store = scripted(data, ["lost-and-rewritten"])
    const refusing: Change = {
      ...remove("pg3"),
      edit: (it) =>
        it === data ? remove("pg3").edit(it) : { kind: "refused", message: "is primary now" },
    }
    expect(await run(store, refusing)).toEqual({ kind: "refused", message: "is primary now" })
  })
  test("repeats a harmless edit that was lost and overtaken", async () => {
    const store = scripted(threeKeepers(), ["lost-and-rewritten"])
    expect((await run(store, patch)).kind).toBe("written")
    expect(wait(store)).toBe(9_000_000_000n as never)
  })
  test("does not repeat an edit that may be applied once only, and says that it does not know", async () => {
    const store = scripted(threeKeepers(), ["lost-and-rewritten"])
    expect(await run(store, fail)).toEqual({
      kind: "uncertain",
      why: "deadline exceeded",
    })
    expect(store.writes()).toBe(1)
  })
  test("says that it does not know when the store is gone after a lost answer", async () => {
    const store = scripted(threeKeepers(), ["applied-unanswered"], true)
    expect(await run(store, patch)).toEqual({
      kind: "uncertain",
      why: "deadline exceeded; then: connection refused",
    })
  })
  test("writes nothing when there is nothing to change or the edit is refused", async () => {
    const store = scripted(threeKeepers(), [])
    expect((await run(store, specChange(promoteCluster("strict"), "strict"))).kind).toBe(
      "unchanged",
    )
    expect((await run(store, remove("pg1"))).kind).toBe("refused")
    expect(store.writes()).toBe(0)
  })
})
