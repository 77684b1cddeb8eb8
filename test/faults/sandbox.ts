/**
 * Runs a program where nothing that it does can stay behind: network, mounts and processes of its
 * own. When it ends, however it ends, the kernel takes everything with it: PostgreSQL, etcd, hung
 * helpers, namespaces, file systems in memory. It needs root.
 */

/** Where a sandboxed program finds its directory: away from /tmp, which machines replace. */
export const inside = "/run/faults"

/** Words that run `command` with `directory` at hand. */
export const sandboxed = (directory: string, command: readonly string[]): readonly string[] => [
  // Also when we are killed: unshare takes its child with it, and that is process 1 in there.
  ...["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--propagation", "private"],
  ...["--pid", "--fork", "--kill-child", "--mount-proc", "--"],
  // A shell as process 1 collects orphans, which Bun would not.
  ...["sh", "-c", `${prepare} && "$@"; exit $?`, directory],
  ...command,
]

const prepare = [
  "mount -t tmpfs tmpfs /run",
  `mkdir /run/netns ${inside}`,
  `mount --bind "$0" ${inside}`,
].join(" && ")

/** Why this machine cannot do it, null when it can. */
export function obstacle(): string | null {
  if (process.getuid?.() !== 0) return "the fault tests need root, for namespaces and mounts"
  const probe = "test -c /dev/net/tun && ip link show lo >/dev/null"
  const { exitCode, stderr } = Bun.spawnSync([...sandboxed("/tmp", ["sh", "-c", probe])])
  if (exitCode === 0) return null
  return `no namespaces, no /dev/net/tun or no ip here: ${stderr.toString().trim()}`
}
