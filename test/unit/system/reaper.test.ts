/** Process 1 of a pid namespace must collect orphans and leave Bun's own children to Bun. */
import { expect, test } from "bun:test"

const lib = new URL("../../../lib/system/", import.meta.url).pathname

const program = `
  import { track } from "${lib}children.ts"
  import { startReaper } from "${lib}reaper.ts"
  import { zombieChildren } from "${lib}process.ts"
  const spawn = (script) => {
    return track(Bun.spawn(["sh", "-c", script], { stdio: ["ignore", "ignore", "inherit"] })).exited
  }
  // Each shell leaves five children that end after it; they become ours.
  const codes = await Promise.all([7, 8, 9].map((code) =>
    spawn("for i in 1 2 3 4 5; do (sleep 0.1; exit 3) & done; exit " + code)))
  const wait = async (what, condition) => {
    const end = performance.now() + 5_000
    while (!condition()) {
      if (performance.now() > end) throw new Error("not in time: " + what)
      await Bun.sleep(5)
    }
  }
  await wait("orphans", () => zombieChildren().length === 15)
  using reaper = startReaper(20)
  const more = spawn("exit 5")
  await wait("collected", () => zombieChildren().length === 0)
  console.log(JSON.stringify({ pid: process.pid, codes, more: await more }))
`

test("D-77 startReaper() as process 1 collects every orphan and no child of Bun's", () => {
  const argv = ["unshare", "--pid", "--fork", "--mount-proc", process.execPath, "-e", program]
  const child = Bun.spawnSync(argv, { stderr: "inherit" })
  expect(child.stdout.toString().trim()).toBe('{"pid":1,"codes":[7,8,9],"more":5}')
}, 15_000)
