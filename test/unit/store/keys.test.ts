/** Keys are Go stolon's, letter by letter (reference 3.1). */
import { expect, test } from "bun:test"
import { keeperUID, proxyUID, sentinelUID } from "#model/ids.ts"
import { joinPath, keysOf } from "#store/keys.ts"

test.each([
  [["stolon/cluster", "a"], "stolon/cluster/a"],
  [["/stolon//cluster/", "a"], "/stolon/cluster/a"],
  [["stolon/cluster", "../x"], "stolon/x"],
  [["stolon/cluster", "a/b"], "stolon/cluster/a/b"],
  [["", "a"], "a"],
  [["a", "../../b"], "../b"],
  [["/a", "../../b"], "/b"],
  [["./a", "./."], "a"],
  [["a", ".."], "."],
  [["/", ""], "/"],
  [["", ""], ""],
] as const)("joinPath(%p) cleans as Go's path.Join does", (elements, path) => {
  expect(joinPath(...elements)).toBe(path)
})

test("keysOf() gives the keys of a running Go cluster", async () => {
  const golden = await Bun.file(
    new URL("../../golden/store/keys/keys-and-leases.txt", import.meta.url),
  ).text()
  const seen = new Set(golden.split("\n").map((line) => line.split(" ")[0] ?? ""))
  const keys = keysOf("stolon/cluster", "golden")
  const ours = [
    keys.clusterData,
    keys.info({ kind: "keeper", uid: keeperUID("keeper1") }),
    keys.info({ kind: "proxy", uid: proxyUID("3c05226f") }),
    keys.info({ kind: "sentinel", uid: sentinelUID("3159473f") }),
    `${keys.election}694da2034da44512`,
  ]
  expect(ours.filter((key) => !seen.has(key))).toEqual([])
})

test("keysOf() lists with Go's prefixes, which end without a slash", () => {
  const keys = keysOf("stolon/cluster", "golden")
  expect([keys.keepers, keys.sentinels, keys.proxies]).toEqual([
    "stolon/cluster/golden/keepers/info",
    "stolon/cluster/golden/sentinels/info",
    "stolon/cluster/golden/proxies/info",
  ])
})
