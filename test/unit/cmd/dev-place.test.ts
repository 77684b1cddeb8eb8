/**
 * What a directory of `stolon dev` keeps between two runs, and whom it refuses.
 */
import { afterEach, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Wishes, openPlace, postgresPrograms } from "#cmd/dev-place.ts"

const made: string[] = []
afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
})
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "stolon-dev-place-"))
  made.push(path)
  return path
}
const wishes: Wishes = { clusterName: "dev", storeBackend: "sqlite", keepers: 3, port: null }
const text = (...path: readonly string[]): string => readFileSync(join(...path), "utf8")

test("openPlace() makes passwords once, for the owner only", async () => {
  const path = directory()
  const first = await openPlace(path, wishes)
  const password = text(first.superuserFile)
  expect(password).toMatch(/^[0-9a-f]{32}$/)
  expect(text(first.passFile)).toBe(`127.0.0.1:*:*:stolon:${password}\n`)
  for (const file of [first.superuserFile, first.replicationFile, first.passFile])
    expect(statSync(file).mode & 0o777).toBe(0o600)
  first.lock.close()
  const second = await openPlace(path, wishes)
  second.lock.close()
  expect(text(second.superuserFile)).toBe(password)
})

test("openPlace() keeps ports, and adds some when keepers are added", async () => {
  const path = directory()
  const first = await openPlace(path, wishes)
  first.lock.close()
  expect(new Set([first.port, ...first.keeperPorts]).size).toBe(4)
  const second = await openPlace(path, { ...wishes, keepers: 4 })
  second.lock.close()
  expect(second.port).toBe(first.port)
  expect(second.keeperPorts.slice(0, 3)).toEqual([...first.keeperPorts])
  expect(new Set([second.port, ...second.keeperPorts]).size).toBe(5)
})

test("openPlace() takes the next port and says so when the expected one is taken", async () => {
  const path = directory()
  const first = await openPlace(path, wishes)
  first.lock.close()
  using _taken = Bun.listen({
    hostname: "127.0.0.1",
    port: first.port,
    socket: { data: () => {} },
  })
  const second = await openPlace(path, wishes)
  second.lock.close()
  expect(second.port).toBeGreaterThan(first.port)
  expect(second.portNote).toBe(`port ${first.port} is taken, the proxy has ${second.port}`)
  const insisting = openPlace(path, { ...wishes, port: first.port })
  await expect(insisting).rejects.toThrow(`port ${first.port} of 127.0.0.1 is taken`)
})

test("openPlace() refuses another store or name than the directory holds", async () => {
  const path = directory()
  const first = await openPlace(path, wishes)
  first.lock.close()
  const other = openPlace(path, { ...wishes, storeBackend: "etcdv3" })
  await expect(other).rejects.toThrow("holds a cluster with --store-backend sqlite")
})

test("openPlace() refuses a second supervisor", async () => {
  const path = directory()
  const code = `
    import { openPlace } from ${JSON.stringify(import.meta.resolve("#cmd/dev-place.ts"))}
    await openPlace(${JSON.stringify(path)}, ${JSON.stringify(wishes)})
    console.log("open")
    await new Promise(() => { setInterval(() => {}, 1000) })`
  const script = join(path, "first.ts")
  writeFileSync(script, code)
  await using first = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" })
  const reader = first.stdout.getReader()
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("open\n")
  await expect(openPlace(path, wishes)).rejects.toThrow("another stolon dev runs in")
  first.kill()
  await first.exited
})

test("postgresPrograms() wants all of them, and says how to get them", () => {
  const path = directory()
  expect(() => postgresPrograms(path)).toThrow("pg_rewind are not all there")
  mkdirSync(path, { recursive: true })
  for (const name of ["postgres", "initdb", "pg_basebackup", "pg_rewind"])
    writeFileSync(join(path, name), "")
  expect(postgresPrograms(path)).toBe(path)
})
