/**
 * The network between the nodes: a namespace for each, joined by the switch of `native/switch.c`.
 * Only to be used inside a private network and mount namespace (`sandbox.ts`), where nothing of it
 * can be seen from outside and all of it vanishes with the last process.
 *
 * Node numbers count from 1; `observer` is the harness's own place on the switch, which stands for
 * the operator's network and is never cut.
 */
import { statSync } from "node:fs"

export const nodeCount = 3
export const observer = nodeCount + 1
export const addressOf = (node: number): string => `10.99.0.${node}`

export interface Network extends AsyncDisposable {
  /** Words that run a command on a node. */
  inside(node: number, command: readonly string[]): readonly string[]
  /** The number of a node's namespace, as `/proc/PID/ns/net` shows it. */
  namespace(node: number): number
  /** Drops what `from` sends to `to`: everything, or TCP from or to one port. */
  cut(from: number, to: number, port?: number): Promise<void>
  /** Both ways. */
  separate(one: number, other: number, port?: number): Promise<void>
  /** For every direction between nodes; zeros for a good network. */
  weather(delayMs: number, jitterMs: number, lossPermille: number): Promise<void>
  /** The good network again. */
  heal(): Promise<void>
}

export async function startNetwork(program: string): Promise<Network> {
  const child = Bun.spawn([program, `${observer}`], { stdio: ["pipe", "pipe", "inherit"] })
  const answers = lines(child.stdout)
  await expectLine(answers, "ready")
  const order = async (...words: readonly (string | number)[]): Promise<void> => {
    void child.stdin.write(`${words.join(" ")}\n`)
    await child.stdin.flush()
    await expectLine(answers, "ok")
  }
  run(["ip", "link", "set", "lo", "up"])
  for (let node = 1; node <= nodeCount; node++) {
    const name = nameOf(node)
    run(["ip", "netns", "add", name])
    run(["ip", "link", "set", `tap${node}`, "netns", name, "name", "eth0"])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    run(["ip", "-n", name, "addr", "add", `${addressOf(node)}/24`, "dev", "eth0"])
    run(["ip", "-n", name, "link", "set", "eth0", "up"])
  }
  run(["ip", "addr", "add", `${addressOf(observer)}/24`, "dev", `tap${observer}`])
  run(["ip", "link", "set", `tap${observer}`, "up"])
  const weather = async (
    delayMs: number,
    jitterMs: number,
    lossPermille: number,
  ): Promise<void> => {
    for (let from = 1; from <= nodeCount; from++)
      for (let to = 1; to <= nodeCount; to++)
        if (from !== to) await order("set", from, to, delayMs * 1000, jitterMs * 1000, lossPermille)
  }
  const cut = (from: number, to: number, port = 0): Promise<void> => order("cut", from, to, port)
  return {
    inside: (node, command) => ["ip", "netns", "exec", nameOf(node), ...command],
    namespace: (node) => statSync(`/run/netns/${nameOf(node)}`).ino,
    cut,
    separate: async (one, other, port = 0) => {
      await cut(one, other, port)
      await cut(other, one, port)
    },
    weather,
    heal: async () => {
      await order("heal", 0, 0, 0)
      await weather(0, 0, 0)
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL")
      await child.exited
    },
  }
}

const nameOf = (node: number): string => `node${node}`

function run(command: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync([...command])
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`)
}

async function expectLine(answers: AsyncIterator<string>, wanted: string): Promise<void> {
  const { value, done } = await answers.next()
  if (done === true || value !== wanted) throw new Error(`the switch said ${String(value)}`)
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = parts.pop() ?? ""
    yield* parts
  }
}
