/**
 * What a server still owes: the client's messages that matter, in their order, until the
 * ReadyForQuery (Z) that answers them.
 *
 * Counting alone would be wrong in three places. After CopyInResponse the server ignores each Sync
 * up to CopyDone. After an error in a COPY nobody outside knows which of them it had ignored by
 * then. And extended messages without a Sync owe no Z, but the session is not idle. So the order
 * is kept, a byte an entry.
 *
 * Each function that returns false has met what cannot be: then nothing is known any more. A
 * session may be called busy that is idle (until its next query), never the other way round.
 */

/** A query or function call, owed one Z. */
export const query = 0
/** Extended messages (Parse, Bind, Execute …), a run of them as one entry: owed no Z themselves. */
export const extended = 1
/** Owed one Z. */
export const sync = 2
/** CopyDone or CopyFail. */
export const copyEnd = 3

export type Entry = typeof query | typeof extended | typeof sync | typeof copyEnd

/** A client that is further ahead of the server than this is not followed. */
const most = 1 << 20

export interface Owed {
  /** Entries from `first` up to `end`, oldest first; the oldest is never a copyEnd. */
  list: Uint8Array
  first: number
  end: number
  /** Between CopyInResponse and its CommandComplete or ErrorResponse. */
  copyIn: boolean
  /**
   * A COPY broke, and Syncs at the front may have been ignored. Until the server answers something
   * younger, Zs are counted here and matched with no entry. -1: it is not so.
   */
  unmatched: number
  /** After an error among extended messages the server drops all up to the next Sync. */
  skipping: boolean
}

export const newOwed = (): Owed => ({
  list: new Uint8Array(16),
  first: 0,
  end: 0,
  copyIn: false,
  unmatched: -1,
  skipping: false,
})

export const nothingOwed = (owed: Owed): boolean =>
  owed.first === owed.end && !owed.copyIn && owed.unmatched < 0

/** The client sent one. */
export function push(owed: Owed, entry: Entry): boolean {
  const { first, end, list } = owed
  if (owed.skipping && entry === query) return true
  // Whether the server drops it nobody knows.
  if (owed.skipping && entry === extended && owed.unmatched >= 0) return false
  if (entry === sync) owed.skipping = false
  if (first === end) {
    // With nothing before it that could be a COPY, the server drops it.
    if (entry === copyEnd) return true
  } else if (entry === extended && list[end - 1] === extended) return true
  if (end === list.length && !makeRoom(owed)) return false
  owed.list[owed.end++] = entry
  return true
}

function makeRoom(owed: Owed): boolean {
  const { first, end, list } = owed
  if (first > list.length / 2) {
    list.copyWithin(0, first, end)
    owed.first = 0
    owed.end = end - first
    return true
  }
  if (list.length >= most) return false
  owed.list = new Uint8Array(list.length * 2)
  owed.list.set(list)
  return true
}

/** Drops entries before `index`. */
function dropTo(owed: Owed, index: number): void {
  let first = index
  while (first < owed.end && owed.list[first] === copyEnd) first++
  if (first === owed.end) first = owed.end = 0
  owed.first = first
}

/** Where the first of two entries is, from `from` on; `end` when there is none. */
function find({ list, end }: Owed, from: number, a: Entry, b: Entry): number {
  let index = from
  while (index < end && list[index] !== a && list[index] !== b) index++
  return index
}

/** The server sent ReadyForQuery. */
export function ready(owed: Owed): boolean {
  if (owed.copyIn) return false
  if (owed.unmatched >= 0) {
    owed.unmatched++
    if (owed.unmatched === countOwed(owed)) {
      owed.unmatched = -1
      afterLastOwed(owed)
    }
    return true
  }
  const first = find(owed, owed.first, query, sync)
  if (first === owed.end) return false
  dropTo(owed, first + 1)
  return true
}

function countOwed(owed: Owed): number {
  let count = 0
  for (let i = find(owed, owed.first, query, sync); i < owed.end; count++)
    i = find(owed, i + 1, query, sync)
  return count
}

/** Everything that owed a Z has got it; extended messages behind the last are still open. */
function afterLastOwed(owed: Owed): void {
  let next = find(owed, owed.first, query, sync)
  while (next < owed.end) {
    dropTo(owed, next + 1)
    next = find(owed, owed.first, query, sync)
  }
}

/**
 * The server sent an answer to some message (anything but ReadyForQuery and what comes unasked):
 * the messages before it are done with.
 */
export function answered(owed: Owed): boolean {
  if (owed.unmatched < 0) return true
  const younger = find(owed, owed.first, query, extended)
  if (younger === owed.end) return false
  dropTo(owed, younger)
  owed.unmatched = -1
  return true
}

/** CopyInResponse: the oldest entry is a COPY. */
export function copyBegan(owed: Owed): boolean {
  if (owed.copyIn || owed.first === owed.end || owed.list[owed.first] === sync) return false
  owed.copyIn = true
  return true
}

/** CommandComplete of a COPY: the server has read up to its CopyDone, whatever was before it. */
export function copyDone(owed: Owed): boolean {
  const done = find(owed, owed.first, copyEnd, copyEnd)
  if (done === owed.end) return false
  owed.copyIn = false
  return leaveCopy(owed, done)
}

/** The query goes on after its COPY, and so does a sequence of extended messages. */
function leaveCopy(owed: Owed, done: number): boolean {
  const { first, end, list } = owed
  if (find(owed, first + 1, query, extended) < done) return false // no COPY reads such a message
  list[done] = list[first] ?? query
  const merges = done + 1 < end && list[done] === extended && list[done + 1] === extended
  owed.first = merges ? done + 1 : done
  return true
}

/** ErrorResponse. */
export function failed(owed: Owed): boolean {
  if (!owed.copyIn) {
    const inExtended = owed.first < owed.end && owed.list[owed.first] === extended
    return !inExtended || skipToSync(owed, owed.first)
  }
  const { first, end, list } = owed
  owed.copyIn = false
  const simple = list[first] === query
  const done = find(owed, first, copyEnd, copyEnd)
  if (find(owed, first + 1, query, extended) < done) return false
  if (!simple && !skipToSync(owed, done)) return false
  const syncs = find(owed, first + 1, sync, sync)
  if (syncs < done) {
    // Read by the COPY and ignored, or read after it and answered: both are possible.
    if (!simple && find(owed, done, extended, sync) < find(owed, done, sync, sync)) return false
    if (simple) list[first] = sync // all that is left of its answer is the Z
    else owed.first = syncs
    owed.unmatched = 0
  } else if (done < end) return leaveCopy(owed, done)
  return true
}

/**
 * The server drops what comes before the next Sync. False when a query may be among it, or may be
 * what has failed.
 */
function skipToSync(owed: Owed, from: number): boolean {
  const next = find(owed, from, query, sync)
  if (next < owed.end) return owed.list[next] === sync
  owed.skipping = true
  return true
}
