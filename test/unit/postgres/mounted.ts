/** What `tree.test.ts` runs where `postgres/` is a mount point; prints what it saw. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { placesBelow } from "#postgres/settings.ts"
import { moveAside, moveIn, removeTree } from "#postgres/tree.ts"

process.env["STOLON_SELF"] = JSON.stringify([
  process.execPath,
  join(import.meta.dir, "..", "system", "entry.ts"),
])
const places = placesBelow(process.argv[2] ?? "")
const never = new AbortController().signal
const fill = (directory: string, word: string): void => {
  mkdirSync(join(directory, "global"), { recursive: true })
  writeFileSync(join(directory, "global", "pg_control"), word)
  writeFileSync(join(directory, "PG_VERSION"), word)
}
const look = (directory: string) => ({
  PG_VERSION: readFileSync(join(directory, "PG_VERSION"), "utf8"),
  control: readFileSync(join(directory, "global", "pg_control"), "utf8"),
})

fill(places.data, "old")
fill(places.side, "new")
const asidePath = join(places.root, "postgres.aside-1")
await moveAside(places, asidePath, never)
const aside = look(asidePath)
const emptied = readdirSync(places.data)
await moveIn(places, never)
const swapped = look(places.data)
const left = readdirSync(places.root).toSorted()
await removeTree(places.data, never)
const removed = readdirSync(places.data)
console.log(JSON.stringify({ aside, emptied, swapped, left, removed }))
