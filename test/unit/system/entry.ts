/**
 * The executable as tests run it: the hidden subcommands of `cmd/stolon.ts` and nothing else, plus
 * small programs that stand in for a keeper which is killed while it has children.
 */
const [name = "", ...rest] = process.argv.slice(2)
switch (name) {
  case "launch":
    process.exit(await (await import("#cmd/launch.ts")).main(rest))
  case "guardian":
    process.exit(await (await import("#cmd/guardian.ts")).main(rest))
  case "herald":
    process.exit(await (await import("#cmd/herald.ts")).main())
  case "run": {
    // A keeper in the middle of a long command.
    const { run } = await import("#system/command.ts")
    const [program = "", ...args] = rest
    await run({ argv: [program, ...args] }, new AbortController().signal)
    break
  }
  case "lock": {
    const { takeLock } = await import("#system/lock.ts")
    try {
      takeLock(rest[0] ?? "")
      console.log("locked")
    } catch (error) {
      console.log(String(error))
      process.exit(3)
    }
    await Bun.stdin.text() // holds it until the test closes our input
    break
  }
  case "keeper": {
    // Holds the guardian and its PostgreSQL for a minute, says so, and waits to be killed.
    const { openSupervisor } = await import("#postgres/supervisor.ts")
    const { realClock } = await import("#system/clock.ts")
    const { millis } = await import("#base/brand.ts")
    const { identity, never } = await import("../postgres/cluster.ts")
    const [dataDir = "", what = ""] = rest
    const options = { dataDir, clock: realClock, identity, initialDeadline: millis(60_000) }
    const supervisor = await openSupervisor(options, never)
    await supervisor.start(JSON.parse(what), never)
    console.log(supervisor.boot)
    await Bun.stdin.text()
    break
  }
  default:
    console.error(`entry: unknown ${name}`)
    process.exit(2)
}
