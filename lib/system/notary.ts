/**
 * The guardian's word when nobody else can give it: writes the certificate, durably, and has a
 * herald publish it (`cmd/herald.ts`), so that a leader hears at once what would otherwise take a
 * lease to be sure of.
 *
 * All of it happens beside the guardian's loop: a disk or a store that hangs holds up nothing,
 * least of all the end of PostgreSQL. When the file cannot be written nothing is published, and
 * the epoch goes on.
 */
import { dirname, join } from "node:path"
import { type LSN, parseLsn, zeroLsn } from "#base/lsn.ts"
import { testifies } from "#guardian/testify.ts"
import { encode } from "#model/codec.ts"
import { event } from "#model/events.ts"
import { bootUUID, dbUID, epoch } from "#model/ids.ts"
import { Certificate } from "#model/info.ts"
import type { Exit, Will } from "#port/supervision.ts"
import { track } from "./children.ts"
import { writeAtomic } from "./files.ts"
import type { ComponentLog } from "./log.ts"
import { childEnvironment, selfCommand } from "./self.ts"

/** What the notary looks at when something has happened. */
export interface Scene {
  running(): boolean
  keeper(): boolean
  /** The last PostgreSQL that was started here: program and data directory. */
  started(): { readonly postgres: string; readonly dataDir: string } | null
}

export interface Notary {
  /** With every hold: null takes the will back. */
  hold(will: Will | null): void
  /** PostgreSQL has ended. */
  ended(exit: Exit, deadline: boolean): void
  /** No keeper is connected any more, or a start has come to nothing. */
  look(): void
  /** A keeper is here: resolves when what is being written is written, or hangs. */
  greeted(): Promise<void>
  /** Whether this epoch is over here. */
  isOver(epoch: string): boolean
  /** Resolves when nothing is being written any more, or hangs. */
  settled(): Promise<void>
}

/** A healthy disk takes milliseconds; whoever waits for a sick one waits no longer than this. */
const writeMost = 1_000
const controlMost = 300

export function openNotary(scene: Scene, log: ComponentLog): Notary {
  const over = new Set<string>()
  let will: Will | null = null
  let exit: Exit | null = null
  let writing: Promise<void> | null = null
  let herald: Bun.Subprocess | null = null
  const consider = (deadline: boolean): void => {
    const running = scene.running()
    const estate = { epoch: will?.epoch ?? null, running, keeper: scene.keeper(), deadline, over }
    if (will === null || !will.certify || !testifies(estate)) return
    const text = will
    over.add(text.epoch)
    const control = exit?.code === 0 ? scene.started() : null
    const reason = deadline ? "its lease ran out" : "its keeper is gone"
    writing = testify(text, reason, control, log).then(
      (child) => void (herald = child),
      (error: unknown) => {
        over.delete(text.epoch) // nobody has heard of it, so it may go on
        log.line("error", "cannot certify the end of PostgreSQL", { error: String(error) })
      },
    )
  }
  const settled = async (): Promise<void> => {
    if (writing !== null) await Promise.race([writing, Bun.sleep(writeMost)])
  }
  return {
    hold: (next) => {
      will = next
    },
    ended: (how, deadline) => {
      exit = how
      consider(deadline)
    },
    look: () => consider(false),
    greeted: async () => {
      await settled()
      herald?.kill() // the keeper publishes by itself, and better
      herald = null
    },
    isOver: (word) => over.has(word),
    settled,
  }
}

/**
 * Starts the herald at once, since that takes longest, and gives it its text when that is
 * durable.
 */
async function testify(
  will: Will,
  reason: string,
  started: ReturnType<Scene["started"]>,
  log: ComponentLog,
): Promise<Bun.Subprocess | null> {
  const child = will.herald === null ? null : spawnHerald()
  try {
    const certificate: Certificate = {
      epoch: epoch(will.epoch),
      bootUUID: bootUUID(will.boot),
      dbuid: dbUID(will.dbuid),
      finalLSN: started === null ? zeroLsn : await finalLsn(started),
      reason,
    }
    const text = encode(Certificate, certificate)
    await writeAtomic(will.file, text)
    log.event(event("certificate.issued", { epoch: will.epoch, db: will.dbuid }))
    if (child !== null) {
      await child.stdin.write(JSON.stringify({ ...will.herald, certificate: text }))
      await child.stdin.end()
    }
    return child
  } catch (error) {
    child?.kill("SIGKILL")
    throw error
  }
}

const spawnHerald = () => {
  const child = Bun.spawn([...selfCommand(), "herald"], {
    detached: true, // it outlives a guardian that has nothing left to guard
    stdio: ["pipe", "ignore", "ignore"],
    env: childEnvironment(),
    cwd: "/",
  })
  child.unref()
  return track(child)
}

/** Where the log of an instance that was shut down in good order ends; else nobody knows. */
async function finalLsn(started: NonNullable<ReturnType<Scene["started"]>>): Promise<LSN> {
  const program = join(dirname(started.postgres), "pg_controldata")
  const child = track(
    Bun.spawn([program, "-D", started.dataDir], {
      stdio: ["ignore", "pipe", "ignore"],
      env: childEnvironment({ LC_ALL: "C", LANGUAGE: "" }),
    }),
  )
  const output = await Promise.race([new Response(child.stdout).text(), Bun.sleep(controlMost)])
  if (typeof output !== "string") child.kill("SIGKILL")
  const state = /^Database cluster state:\s*(.*)$/m.exec(output ?? "")?.[1]
  const position = /^Latest checkpoint location:\s*(.*)$/m.exec(output ?? "")?.[1] ?? ""
  return state === "shut down" ? (parseLsn(position) ?? zeroLsn) : zeroLsn
}
