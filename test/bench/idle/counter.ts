/**
 * Counts what a process asks of the sqlite backend, whose requests no network shows: every
 * transaction that it begins, in a small file, `$IDLE_COUNTS/PID`, as two 64-bit numbers (reads,
 * writes). It changes nothing else.
 */
import { Database } from "bun:sqlite"
import { writeFileSync } from "node:fs"
import { join } from "node:path"

const directory = process.env["IDLE_COUNTS"] ?? ""
let cells: BigUint64Array | null = null
function count(kind: "read" | "write"): void {
  if (directory === "") return
  if (cells === null) {
    const file = join(directory, String(process.pid))
    writeFileSync(file, new Uint8Array(16))
    cells = new BigUint64Array(Bun.mmap(file, { shared: true }).buffer, 0, 2)
  }
  const i = kind === "read" ? 0 : 1
  cells[i] = (cells[i] ?? 0n) + 1n
}

export function countTransactions(): void {
  // Reads are begun by `transaction`, writes by these words (`store/sqlite.ts`)
  const { run: runSql, transaction } = Database.prototype
  Reflect.set(Database.prototype, "run", function (this: Database, ...words: [string]) {
    if (words[0] === "BEGIN IMMEDIATE") count("write")
    return Reflect.apply(runSql, this, words)
  })
  Reflect.set(Database.prototype, "transaction", function (this: Database, ...words: unknown[]) {
    count("read")
    return Reflect.apply(transaction, this, words)
  })
}
