/**
 * `stolon generate kubernetes|systemd|compose`: prints what `lib/ctl/generate-*.ts` makes of the
 * flags, or writes it into a directory. Reads nothing but flags, asks no store.
 *
 * What it must never do: overwrite a file that somebody changed, or leave one with passwords
 * readable to others, be it for a moment.
 */
import { randomBytes } from "node:crypto"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { type Command, type Flags, type Values } from "#cli/flag.ts"
import { help, unknownCommand } from "#cli/help.ts"
import {
  generateCommand,
  generateComposeCommand,
  generateKubernetesCommand,
  generateSystemdCommand,
  generateTree,
} from "#cli/generate.ts"
import type { composeFlags, kubernetesFlags, systemdFlags } from "#cli/generate-flags.ts"
import type { Invocation } from "#cli/invocation.ts"
import { resolve } from "#cli/tree.ts"
import { type File, type Passwords } from "#ctl/generate.ts"
import { compose, composeTrouble } from "#ctl/generate-compose.ts"
import { kubernetes } from "#ctl/generate-kubernetes.ts"
import { placeOf, stream, systemd } from "#ctl/generate-systemd.ts"
import { readIfPresent, writeAtomic } from "#system/files.ts"
import { type Begun, begin, print, warn } from "./front.ts"
import { release } from "./release.ts"
import { text } from "./service.ts"

/** A choice that makes no sense as a whole; the text is for people. */
class Refusal extends Error {}

/** What a subcommand makes: files, and the same as one stream. */
interface Made {
  readonly files: readonly File[]
  readonly stream: string
}

export async function main(invocation: Invocation): Promise<number> {
  const { argv, program } = invocation
  const children = generateTree.children.map(({ command: { name, summary } }) => ({
    name,
    summary,
  }))
  const found = resolve(generateTree, argv, "stolon")
  if (found.kind === "unknown") {
    await warn(`${program}: ${unknownCommand(found.word, children)}\n`)
    return 2
  }
  const [word] = found.path
  const inner = { ...invocation, argv: found.argv, program: [program, ...found.path].join(" ") }
  if (word === undefined) return await branch(inner, children)
  try {
    return await run(word, inner)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    await warn(`${inner.program}: ${error.message}\nHelp: ${inner.program} --help\n`)
    return 2
  }
}

async function branch(
  invocation: Invocation,
  children: Parameters<typeof help>[2],
): Promise<number> {
  const begun = await begin(generateCommand, invocation, children)
  if (begun.kind === "exit") return begun.code
  await warn(
    `${invocation.program}: what for?\n\n${help(generateCommand, invocation.program, children)}`,
  )
  return 2
}

async function run(word: string, invocation: Invocation): Promise<number> {
  switch (word) {
    case "kubernetes":
      return finish(await settled(generateKubernetesCommand, invocation), forKubernetes)
    case "systemd":
      return finish(await settled(generateSystemdCommand, invocation), forSystemd)
    default:
      return finish(await settled(generateComposeCommand, invocation), forCompose)
  }
}

interface Common {
  readonly clusterName: string
  readonly withPasswords: boolean
  readonly output: string
  readonly force: boolean
}

/** Flags parsed, the required ones given. */
async function settled<F extends Flags>(
  command: Command<F>,
  invocation: Invocation,
): Promise<Begun<F>> {
  const begun = await begin(command, invocation)
  if (begun.kind === "run" && !begun.changed.has("cluster-name"))
    throw new Refusal("--cluster-name is required: everything is named after the cluster")
  return begun
}

async function finish<V extends Common>(
  begun:
    | { readonly kind: "run"; readonly values: V }
    | { readonly kind: "exit"; readonly code: number },
  make: (values: V, passwords: Passwords | null) => Made,
): Promise<number> {
  if (begun.kind === "exit") return begun.code
  const { values } = begun
  if (values.force && values.output === "") throw new Refusal("--force goes with --output")
  const made = make(values, values.withPasswords ? newPasswords() : null)
  if (values.output === "") await print(made.stream)
  else await write(values.output, made.files, values.force)
  return 0
}

const newPasswords = (): Passwords => ({
  superuser: randomBytes(24).toString("hex"),
  replication: randomBytes(24).toString("hex"),
})

const imageOf = (given: string, name: string): string =>
  given === "" ? `${name}:${release.version === "" ? "latest" : release.version}` : given

function forKubernetes(values: Values<typeof kubernetesFlags>, passwords: Passwords | null): Made {
  const etcd = values.storeBackend === "etcdv3"
  if (etcd && values.storeEndpoints.length === 0)
    throw new Refusal("--store-backend etcdv3 needs --store-endpoints: the URLs of the etcd")
  if (!etcd && values.storeEndpoints.length > 0)
    throw new Refusal("--store-endpoints goes with --store-backend etcdv3; Kubernetes has none")
  if (values.port === values.readOnlyPort)
    throw new Refusal(`--port and --read-only-port are both ${values.port}; a proxy needs two`)
  return one(
    "kubernetes.yaml",
    kubernetes({ ...values, image: imageOf(values.image, "stolon") }, passwords),
    passwords,
  )
}

function forSystemd(values: Values<typeof systemdFlags>, passwords: Passwords | null): Made {
  if (values.storeEndpoints.length === 0)
    throw new Refusal(
      values.storeBackend === "etcdv3"
        ? "--store-endpoints is required: the URLs of the etcd, such as http://10.0.0.1:2379"
        : "--store-endpoints is required: the file that holds the cluster data",
    )
  const ports = [values.port, values.readOnlyPort, ...(clash(values) ? [values.pgPort] : [])]
  if (new Set(ports).size < ports.length)
    throw new Refusal(
      `--port ${values.port}, --read-only-port ${values.readOnlyPort} and --pg-port ${values.pgPort} are on one machine and must differ`,
    )
  const files = systemd(values, passwords)
  return { files, stream: stream(files, (name) => placeOf(values, name)) }
}

const clash = ({ parts }: Values<typeof systemdFlags>): boolean =>
  parts.includes("keeper") && parts.includes("proxy")

function forCompose(values: Values<typeof composeFlags>, passwords: Passwords | null): Made {
  const choice = {
    ...values,
    image: imageOf(values.image, "stolon"),
    etcdImage: imageOf(values.etcdImage, "stolon-etcd"),
  }
  const trouble = composeTrouble(choice)
  if (trouble !== null) throw new Refusal(trouble)
  return one("compose.yaml", compose(choice, passwords), passwords)
}

const one = (name: string, content: string, passwords: Passwords | null): Made => ({
  files: [{ name, text: content, mode: passwords === null ? 0o644 : 0o600 }],
  stream: content,
})

/** All or nothing: what stands in the way is told before the first file is written. */
async function write(directory: string, files: readonly File[], force: boolean): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
    const inTheWay: string[] = []
    for (const { name, text: wanted } of files) {
      const there = await readIfPresent(join(directory, name))
      if (there !== null && there !== wanted) inTheWay.push(name)
    }
    if (inTheWay.length > 0 && !force)
      throw new Refusal(
        `${directory} has ${inTheWay.join(", ")} with other contents; nothing was written (--force overwrites)`,
      )
    for (const file of files) await writeAtomic(join(directory, file.name), file.text, file.mode)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(`cannot write to ${directory}: ${text(error)}`, { cause: error })
  }
  await warn(files.map(({ name }) => `${join(directory, name)}\n`).join(""))
}
