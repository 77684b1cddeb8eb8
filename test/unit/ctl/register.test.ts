/** What `ctl register` asks of Consul: as Go's did, and without its defects (D-86). */
import { describe, expect, test } from "bun:test"
import { type ClusterData, decodeClusterData, encodeClusterData } from "#model/cluster.ts"
import {
  type Change,
  type RegisterWish,
  type Service,
  registration,
  requestOf,
  servicesNamed,
} from "#ctl/register.ts"
import { golden, table, threeKeepers } from "./golden.ts"

function live(): ClusterData {
  const data = decodeClusterData(golden("clusterdata-sync.json"))
  if (data === null) throw new Error("no cluster data recorded")
  return data
}

/** Flags as recorded, empty where a round ran on. */
const wishes: ReadonlyMap<string, RegisterWish> = new Map([
  [
    "--sleep-interval=1",
    { clusterName: "demo", master: false, masterTags: ["master"], standbyTags: ["slave"] },
  ],
  [
    "--register-master --tag-master-as=m,primary --tag-slave-as=replica",
    { clusterName: "demo", master: true, masterTags: ["m", "primary"], standbyTags: ["replica"] },
  ],
])

const passing = '"Status":"passing",'

/** What the agent has after the changes. */
function after(found: readonly Service[], changes: readonly Change[]): readonly Service[] {
  const services = new Map(found.map((service) => [service.id, service]))
  for (const change of changes)
    if (change.kind === "deregister") services.delete(change.id)
    else services.set(change.service.id, change.service)
  return [...services.values()]
}

test("registration() asks for what Go's register asked for, round by round, and counts as well at once", () => {
  const rows = table("register.tsv")
  expect(rows).toHaveLength(11)
  let wish: RegisterWish | undefined
  let found: readonly Service[] = []
  for (const round of ["1", "2", "3", "4"]) {
    const [first = [], ...recorded] = rows.filter(([number]) => number === round)
    wish = wishes.get(first[1] ?? "") ?? wish
    if (wish === undefined) throw new Error("no flags recorded")
    const before = (first[2] ?? "")
      .replace(/[[\]]/g, "")
      .split(",")
      .filter((id) => id !== "")
    expect(found.map(({ id }) => id).toSorted()).toEqual(before.toSorted())
    const { changes, skipped } = registration(live(), wish, found)
    const asked = changes
      .map(requestOf)
      .map(({ method, path, body }) => `${method} ${path} ${body.replace(passing, "")}`)
    const expected = recorded.map(([, , , request = "", body = ""]) => `${request} ${body}`)
    expect(asked.toSorted()).toEqual(expected.toSorted())
    expect(skipped).toEqual([])
    // removals come first
    const kinds = changes.map(({ kind }) => kind)
    expect(kinds).toEqual(kinds.toSorted())
    found = after(found, changes)
  }
})

describe("registration()", () => {
  const wish: RegisterWish = {
    clusterName: "prod",
    master: true,
    masterTags: ["primary"],
    standbyTags: ["standby"],
  }
  const service = (n: number, tag: string): Service => ({
    id: `db${n}`,
    name: "prod",
    tags: [tag],
    address: `10.0.0.1${n}`,
    port: 5432,
  })
  const all = [service(1, "primary"), service(2, "standby"), service(3, "standby")]
  /** db1's cluster with other words in it. */
  const changed = (change: (text: string) => string): ClusterData => {
    const decoded = decodeClusterData(change(encodeClusterData(threeKeepers())))
    if (decoded === null) throw new Error("null document")
    return decoded
  }

  test("asks for nothing once Consul agrees", () => {
    expect(registration(threeKeepers(), wish, all)).toEqual({ changes: [], skipped: [] })
  })
  test("D-86 leaves out a standby that is still being copied, and goes on with the others", () => {
    const data = changed((text) => text.replace('"10.0.0.12","port":"5432"', '"","port":""'))
    expect(registration(data, wish, [service(1, "primary")])).toEqual({
      changes: [{ kind: "register", service: service(3, "standby") }],
      skipped: [{ id: "db2", why: "it has not reported its address and port yet" }],
    })
  })
  test("D-86 keeps the primary's tags where the proxies lead, until they lead elsewhere", () => {
    // elected, but not promoted: the gate is closed
    const elected = changed((text) =>
      text
        .replace('"master":"db1"', '"master":"db2"')
        .replace('"masterDbUid":"db1"', '"masterDbUid":""'),
    )
    expect(registration(elected, wish, all).changes).toEqual([{ kind: "deregister", id: "db1" }])
    const led = changed((text) =>
      text
        .replace('"master":"db1"', '"master":"db2"')
        .replace('"masterDbUid":"db1"', '"masterDbUid":"db2"'),
    )
    expect(registration(led, wish, all).changes).toEqual([
      { kind: "deregister", id: "db1" },
      { kind: "deregister", id: "db2" },
      { kind: "register", service: service(2, "primary") },
    ])
  })
  test("removes an unhealthy database and what no longer exists", () => {
    const ill = changed((text) => text.replace(/("uid":"db3".*?)"healthy":true,/, "$1"))
    const old = { ...service(3, "standby"), id: "older" }
    expect(registration(ill, wish, [...all, old]).changes).toEqual([
      { kind: "deregister", id: "db3" },
      { kind: "deregister", id: "older" },
    ])
  })
  test("brackets an IPv6 address where the check needs it", () => {
    const v6 = { ...service(1, "primary"), address: "fd00::1" }
    expect(requestOf({ kind: "register", service: v6 }).body).toContain('"TCP":"[fd00::1]:5432"')
  })
})

test("D-86 servicesNamed() sees the services of the agent that can remove them, under one name", () => {
  const entry = (id: string, name: string) => ({
    ...{ ID: id, Service: name, Tags: ["standby"], Address: "10.0.0.12", Port: 5432 },
    Weights: { Passing: 1, Warning: 1 },
  })
  const answer = JSON.stringify({ db2: entry("db2", "prod"), db3: entry("db3", "test") })
  expect(servicesNamed("prod", answer)).toEqual([
    { id: "db2", name: "prod", tags: ["standby"], address: "10.0.0.12", port: 5432 },
  ])
  expect(servicesNamed("prod", "{}")).toEqual([])
})
