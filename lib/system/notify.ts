/**
 * What systemd wants to hear from a service of `Type=notify`: that it has begun, and with
 * `WatchdogSec=` again and again that it is well. Where nobody asked (no NOTIFY_SOCKET) nothing is
 * sent.
 *
 * The variables are taken out of the environment: PostgreSQL of some distributions speaks to the
 * same socket, and the guardian outlives the service that they were meant for. Trouble with the
 * socket ends nothing; without the word systemd acts by itself.
 */
import { sendDatagram } from "./libc.ts"

type Environment = Record<string, string | undefined>

/**
 * Says READY, and from then on WATCHDOG as long as `unwell` has no reasons. To be called once, when
 * flags are accepted and the work begins.
 */
export function notifySystemd(
  unwell: () => readonly string[],
  env: Environment = process.env,
): Disposable {
  const socket = env["NOTIFY_SOCKET"] ?? ""
  const beat = watchdogMillis(env)
  for (const name of names) delete env[name]
  let timer: ReturnType<typeof setInterval> | null = null
  if (socket !== "") {
    say(socket, "READY=1")
    if (beat !== null)
      timer = setInterval(() => {
        const [reason] = unwell()
        say(socket, reason === undefined ? "WATCHDOG=1" : `STATUS=${reason}`)
      }, beat)
    timer?.unref()
  }
  return {
    [Symbol.dispose]: () => {
      if (timer !== null) clearInterval(timer)
    },
  }
}
const names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const

/** A third of the time after which systemd gives a service up; null: it does not. */
function watchdogMillis(env: Environment): number | null {
  const microseconds = Number(env["WATCHDOG_USEC"] ?? "")
  const other = env["WATCHDOG_PID"] ?? String(process.pid)
  if (!(microseconds > 0) || other !== String(process.pid)) return null
  return Math.max(1, microseconds / 3000)
}

function say(socket: string, text: string): void {
  try {
    sendDatagram(socket, text)
  } catch {
    // nobody listens: there is nobody to tell either
  }
}
