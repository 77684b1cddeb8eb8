/**
 * The program itself on Kubernetes: `stolon ctl` from outside with a kubeconfig and from inside a
 * pod with the files that a kubelet mounts there, and components that are told no pod.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { never } from "./scene.ts"
import { type KubeCluster, kubeCluster } from "./kube-cluster.ts"
import type { Account } from "./kube-rights.ts"
import { type KubeServer, kubeMissing, startKube } from "./kube-server.ts"

const root = join(import.meta.dir, "../..")
const program = [process.execPath, join(root, "cmd/stolon.ts")]
const isRoot = process.getuid?.() === 0
const canMount = isRoot && Bun.spawnSync(["unshare", "--mount", "true"]).exitCode === 0

/** Nobody's kubeconfig is in it. */
let home = ""

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}
async function run(words: readonly string[], env: Record<string, string>): Promise<Ended> {
  const child = Bun.spawn([...words], {
    env: { PATH: process.env["PATH"] ?? "", HOME: home, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, out, err }
}

if (kubeMissing !== null) test.skip(`stolon on Kubernetes (skipped: ${kubeMissing})`, () => {})
else {
  let server: KubeServer
  beforeAll(async () => {
    server = await startKube()
    home = server.directory
  }, 180_000)
  afterAll(() => server[Symbol.asyncDispose]())
  const open = (): KubeCluster => kubeCluster(server)
  describe("stolon ctl", () => control(open, () => server))
  describe("components", () => components(open, () => server))
}

type Open = () => KubeCluster
const flags = (here: KubeCluster): readonly string[] => [
  `--cluster-name=${here.name}`,
  "--store-backend=kubernetes",
]

function control(open: Open, server: () => KubeServer): void {
  const kubeconfig = async (account: Account): Promise<string> =>
    server().kubeconfig({ token: await server().token(account) })

  test("works from outside with --kubeconfig, --kube-context and --kube-namespace", async () => {
    await using here = open()
    const config = `--kubeconfig=${await kubeconfig("ctl")}`
    const ctl = (verb: string, ...more: readonly string[]): Promise<Ended> =>
      run([...program, "ctl", verb, ...flags(here), config, ...more], {})
    expect(await ctl("init", "--yes", `{"initMode":"new"}`)).toMatchObject({ code: 0 })
    const spec = await ctl("spec", "--kube-context=test")
    expect([spec.code, JSON.parse(spec.out).initMode]).toEqual([0, "new"])
    const update = await ctl("update", "--patch", `{"failInterval":"7s"}`)
    expect([update.code, update.err]).toEqual([0, ""])
    const reading = await (await here.store("ctl")).read(never)
    expect(reading.kind === "found" && reading.data.cluster.spec.failInterval).toBeTruthy()
    expect((await ctl("status")).out).toContain(here.name)

    const context = await ctl("spec", "--kube-context=other")
    expect([context.code, context.err]).toEqual([1, expect.stringContaining("does not exist")])
    const elsewhere = await ctl("spec", "--kube-namespace=elsewhere")
    expect([elsewhere.code, elsewhere.err]).toEqual([1, expect.stringContaining("forbidden")])
  }, 120_000)

  // without mount namespaces there is no place for the files that a kubelet would mount
  test.skipIf(!canMount)(
    "works inside a pod with its service account",
    async () => {
      await using here = open()
      await (await here.store("ctl")).read(never)
      const files = join(server().directory, `account-${here.name}`)
      mkdirSync(files)
      writeFileSync(join(files, "token"), await server().token("ctl"))
      writeFileSync(join(files, "namespace"), server().namespace)
      copyFileSync(server().authority.cert, join(files, "ca.crt"))
      // as a kubelet mounts them, seen by this one process
      const place = "/run/secrets/kubernetes.io/serviceaccount"
      const script = `mount -t tmpfs tmpfs /run && mkdir -p ${place} && cp "$0"/* ${place} && exec "$@"`
      const words = ["unshare", "--mount", "sh", "-c", script, files, ...program, "ctl"]
      const env = {
        KUBERNETES_SERVICE_HOST: "127.0.0.1",
        KUBERNETES_SERVICE_PORT: String(server().port),
      }
      const spec = `{"initMode":"new"}`
      const init = await run([...words, "init", ...flags(here), "--yes", spec], env)
      expect(init).toMatchObject({ code: 0 })
      expect((await run([...words, "spec", ...flags(here)], env)).out).toContain("initMode")
    },
    120_000,
  )

  test("called stolonctl, says in Go's words what it could not get", async () => {
    await using here = open()
    const stolonctl = join(server().directory, `stolonctl-of-${here.name}`, "stolonctl")
    mkdirSync(dirname(stolonctl))
    symlinkSync(process.execPath, stolonctl)
    const kind = "--kube-resource-kind=configmap"
    const ctl = (config: string, ...more: readonly string[]): Promise<Ended> =>
      run(
        [
          stolonctl,
          join(root, "cmd/stolon.ts"),
          ...flags(here),
          kind,
          `--kubeconfig=${config}`,
          ...more,
        ],
        {},
      )
    const config = await kubeconfig("ctl")
    expect(await ctl(config, "spec")).toEqual({
      code: 1,
      out: "",
      err: "nil cluster data: <nil>\n",
    })
    expect(await ctl(config, "status", "-f", "json")).toMatchObject({ code: 0, out: "{}\n" })
    const rightless = await ctl(await here.stranger(), "spec")
    expect(rightless.err).toMatch(
      /^cannot get cluster data: failed to get latest version of configmap: .*is forbidden: User "stranger" cannot get/,
    )
    const context = await ctl(config, "--kube-context=other", "spec")
    expect(context).toEqual({ code: 1, out: "", err: 'context "other" does not exist\n' })
  }, 60_000)

  test("says of a kubeconfig with a login program that it does not run it", async () => {
    await using here = open()
    const file = join(server().directory, "exec")
    writeFileSync(
      file,
      `current-context: k
contexts: [{name: k, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {exec: {command: login}}}]
`,
    )
    const ended = await run([...program, "ctl", "spec", ...flags(here), `--kubeconfig=${file}`], {})
    expect(ended).toMatchObject({ code: 1, out: "" })
    expect(ended.err).toContain("which stolon does not run; use a token")
  }, 60_000)

  test("D-64 update of several at once loses none", async () => {
    await using here = open()
    const config = `--kubeconfig=${await kubeconfig("ctl")}`
    const ctl = (verb: string, ...more: readonly string[]): Promise<Ended> =>
      run([...program, "ctl", verb, ...flags(here), config, ...more], {})
    await ctl("init", "--yes", `{"initMode":"new"}`)
    const names = ["a", "b", "c"]
    const ends = await Promise.all(
      names.map((name) => ctl("update", "--patch", `{"pgParameters":{"my.${name}":"1"}}`)),
    )
    const spec = JSON.parse((await ctl("spec")).out)
    const done = names.filter((_, i) => ends[i]?.code === 0)
    expect(Object.keys(spec.pgParameters).toSorted()).toEqual(done.map((name) => `my.${name}`))
    // three tries each, as documented: of three at once all succeed
    expect(done).toEqual(names)
  }, 120_000)
}

function components(open: Open, server: () => KubeServer): void {
  test("need POD_NAME, and say so", async () => {
    await using here = open()
    const KUBECONFIG = server().kubeconfig({ token: await server().token("sentinel") })
    const ours = await run([...program, "sentinel", ...flags(here)], { KUBECONFIG })
    expect([ours.code, ours.err]).toEqual([
      1,
      expect.stringContaining('missing required env variable "POD_NAME"'),
    ])
  }, 60_000)

  test("lead in their pod: a sentinel writes its initial specification and its info", async () => {
    await using here = open()
    const pod = await here.pod("sentinel", "s")
    const KUBECONFIG = server().kubeconfig({ token: await server().token("sentinel") })
    const spec = join(server().directory, "initial.json")
    writeFileSync(spec, `{"initMode":"new"}`)
    const child = Bun.spawn(
      [...program, "sentinel", ...flags(here), `--initial-cluster-spec=${spec}`],
      {
        env: { PATH: process.env["PATH"] ?? "", HOME: home, KUBECONFIG, POD_NAME: pod },
        stdout: "ignore",
        stderr: "ignore",
      },
    )
    const store = await here.store("sentinel")
    const { until } = await import("./wait.ts")
    try {
      await until("a leader", async () => (await store.leader(never)) !== null, 60_000)
      await until("cluster data", async () => (await store.read(never)).kind === "found", 60_000)
      await until("its info", async () => (await store.infos(never)).sentinels.size === 1, 60_000)
    } finally {
      child.kill("SIGTERM")
    }
    expect(await child.exited).toBe(0)
    expect(await store.leader(never)).toBeNull() // given back on the way out
  }, 200_000)
}
