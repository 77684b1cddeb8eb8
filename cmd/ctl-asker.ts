/** Who asks, as `status` shows it: the user and machine that the command runs as. */
import { hostname, userInfo } from "node:os"

export function asker(): string {
  let user = String(process.getuid?.() ?? "")
  try {
    user = userInfo().username
  } catch {
    // a user id without a name, as in containers
  }
  return `${user}@${hostname()}`
}
