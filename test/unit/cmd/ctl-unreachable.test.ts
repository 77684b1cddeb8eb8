/** A store that does not answer: how long stolonctl waits and what it says. */
import { describe, expect, test } from "bun:test"
import { playCtl, playGo } from "./played.ts"

/** A port that takes connections and says nothing: a frozen store. */
function frozen(): { readonly endpoint: string; readonly [Symbol.dispose]: () => void } {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
  return {
    endpoint: `http://127.0.0.1:${listener.port}`,
    [Symbol.dispose]: () => listener.stop(true),
  }
}
const flags = (endpoint: string, timeout: string): readonly string[] => [
  "--cluster-name=t",
  "--store-backend=etcdv3",
  `--store-endpoints=${endpoint}`,
  `--store-timeout=${timeout}`,
]
const deadline = "cannot get cluster data: context deadline exceeded\n"

describe("stolonctl on a frozen store", () => {
  test.each(["spec", "clusterdata read", "status", "promote -y"])(
    "%s gives up after --store-timeout with Go's words",
    async (command) => {
      using store = frozen()
      const started = performance.now()
      const ran = await playGo("stolonctl", [
        ...flags(store.endpoint, "300ms"),
        ...command.split(" "),
      ])
      expect(ran).toEqual({ exit: 1, stdout: "", stderr: deadline })
      expect(performance.now() - started).toBeGreaterThan(290)
    },
  )
  test("failkeeper says it twice, as Go's", async () => {
    using store = frozen()
    const ran = await playGo("stolonctl", [...flags(store.endpoint, "100ms"), "failkeeper", "k"])
    expect(ran).toEqual({ exit: 1, stdout: "", stderr: `cannot get cluster data: ${deadline}` })
  })
  test("status -f json prints an empty object and succeeds, as Go's", async () => {
    using store = frozen()
    const ran = await playGo("stolonctl", [
      ...flags(store.endpoint, "100ms"),
      ...["status", "-f", "json"],
    ])
    expect(ran).toEqual({ exit: 0, stdout: "{}\n", stderr: "" })
  })
  test.each(["0s", "-1s"])("a timeout of %s fails at once", async (timeout) => {
    using store = frozen()
    const ran = await playGo("stolonctl", [...flags(store.endpoint, timeout), "spec"])
    expect(ran).toEqual({ exit: 1, stdout: "", stderr: deadline })
  })
})

test("D-66 stolon ctl status -f json on a frozen store is an object that says so, and fails", async () => {
  using store = frozen()
  const ran = await playCtl(["status", "-f", "json", ...flags(store.endpoint, "100ms")])
  expect(ran).toMatchObject({ exit: 1, stderr: "" })
  expect(JSON.parse(ran.stdout)).toEqual({
    error: { code: "unavailable", message: expect.stringContaining(store.endpoint) },
  })
})
