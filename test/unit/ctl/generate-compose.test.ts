/** Invariants of the Compose file: names, ports and command lines fit each other and our parser. */
import { describe, expect, test } from "bun:test"
import type { Values } from "#cli/flag.ts"
import { generateComposeCommand } from "#cli/generate.ts"
import type { composeFlags } from "#cli/generate-flags.ts"
import { parse } from "#cli/parse.ts"
import { compose, composeTrouble } from "#ctl/generate-compose.ts"
import { serveHttp } from "#system/http.ts"
import { type Parsed, documentsOf, told } from "./generated.ts"

function choice(...argv: readonly string[]): Values<typeof composeFlags> {
  const parsed = parse(generateComposeCommand, ["--cluster-name=try", ...argv], {}, "stolon")
  if (parsed.kind !== "ok") throw new Error(JSON.stringify(parsed))
  return { ...parsed.values, image: "stolon:test", etcdImage: "stolon-etcd:test" }
}
const made = (...argv: readonly string[]): Parsed =>
  Bun.YAML.parse(compose(choice(...argv), { superuser: "aa11", replication: "bb22" }))
const ours = (file: Parsed): readonly (readonly [string, Parsed])[] =>
  Object.entries<Parsed>(file.services).filter(([name]) => !name.startsWith("etcd"))

describe("compose()", () => {
  test("three etcd, three keepers, two sentinels and a proxy", () => {
    const names = Object.keys(made().services).map((name) => name.replace(/\d+$/, ""))
    expect(names.join(" ")).toBe("etcd etcd etcd keeper keeper keeper sentinel sentinel proxy")
  })

  test("every command line and every variable of ours is one that our parser knows", () => {
    for (const [name, service] of ours(made("--proxies=2", "--keepers=4"))) {
      const { component, sources } = told(service.command, service.environment)
      expect(name).toStartWith(component)
      for (const variable of Object.keys(service.environment)) expect(sources).toContain(variable)
    }
  })

  test("a keeper is reached by the name of its service, and its data are in its volume", () => {
    const file = made()
    for (const [name, service] of ours(file).filter(([it]) => it.startsWith("keeper"))) {
      const { values } = told(service.command, service.environment)
      expect([values["uid"], values["pgListenAddress"], service.hostname]).toEqual([
        name,
        name,
        name,
      ])
      const [volume = "", mount = ""] = service.volumes[0].split(":")
      expect(Object.keys(file.volumes)).toContain(volume)
      expect(values["dataDir"]).toStartWith(`${mount}/`)
      expect(service.stop_grace_period).toBe("60s")
    }
  })

  test("published ports lead to the ports on which the proxy listens", () => {
    const file = made("--port=7000", "--read-only-port=7001", "--proxies=2", "--bind=::1")
    for (const [i, name] of ["proxy1", "proxy2"].entries()) {
      const service = file.services[name]
      const { values } = told(service.command, service.environment)
      expect(service.ports).toEqual([
        `[::1]:${7000 + 10 * i}:${String(values["port"])}`,
        `[::1]:${7001 + 10 * i}:${String(values["readOnlyPort"])}`,
      ])
    }
  })

  test("health checks ask the port on which the component serves its pages", () => {
    for (const [, service] of ours(made())) {
      const { values } = told(service.command, service.environment)
      const port = String(values["metricsListenAddress"]).slice(1)
      expect(service.healthcheck.test.join(" ")).toContain(`/dev/tcp/127.0.0.1/${port} `)
    }
  })

  test("a health check is what the page says, run by bash as the engine does", async () => {
    const [, service] = ours(made()).find(([name]) => name === "proxy1") ?? []
    let reasons: readonly string[] = []
    await using server = serveHttp({
      address: "127.0.0.1:0",
      metrics: () => "",
      unhealthy: () => [],
      pages: { "/readyz": () => ({ kind: "check", reasons }) },
    })
    const words: readonly string[] = service.healthcheck.test
    const argv = words.slice(1).map((word) => word.replace("/8080 ", `/${server.port} `))
    const exit = (): Promise<number> => Bun.spawn([...argv], { stderr: "ignore" }).exited
    expect(await exit()).toBe(0)
    reasons = ["no store"]
    expect(await exit()).not.toBe(0)
  })

  test("every endpoint is a member of etcd, and members name each other", () => {
    const file = made("--etcds=5")
    const members = Object.keys(file.services).filter((name) => name.startsWith("etcd"))
    for (const [, service] of ours(file))
      expect(service.environment.STOLON_STORE_ENDPOINTS).toBe(
        members.map((name) => `http://${name}:2379`).join(","),
      )
    for (const name of members)
      expect(file.services[name].command.join(" ")).toContain(
        `--initial-cluster=${members.map((one) => `${one}=http://${one}:2380`).join(",")}`,
      )
  })

  test("without passwords the engine is told to refuse until they are set", () => {
    const text = compose(choice(), null)
    const [file] = documentsOf(text)
    const { environment } = file.services.keeper1
    expect(environment.STKEEPER_PG_SU_PASSWORD).toStartWith("${STOLON_SUPERUSER_PASSWORD:?")
    expect(environment.STKEEPER_PG_REPL_PASSWORD).toStartWith("${STOLON_REPLICATION_PASSWORD:?")
  })

  test("composeTrouble() names ports that meet and numbers that help nobody", () => {
    expect(composeTrouble(choice())).toBeNull()
    expect(composeTrouble(choice("--read-only-port=5432"))).toContain("need port 5432 twice")
    expect(composeTrouble(choice("--read-only-port=5442", "--proxies=2"))).toContain("5442 twice")
    expect(composeTrouble(choice("--port=65530", "--proxies=2"))).toContain("above 65535")
    expect(composeTrouble(choice("--etcds=2"))).toContain("even number")
  })
})
