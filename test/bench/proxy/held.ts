/**
 * What the bench has opened and has to end, also when it is ended by hand in the middle of opening
 * more. The latest is ended first. Once everything is being ended nothing new is handed out: who
 * waits for it waits for ever, and the process ends before that matters.
 */
export interface Held {
  /** Everything is being ended: what fails from here on failed because of that. */
  readonly over: boolean
  open<T extends AsyncDisposable>(work: () => Promise<T>): Promise<T>
  /** Ends it, unless that was done already. */
  end(thing: AsyncDisposable): Promise<void>
  /** Only the first call comes back. */
  endAll(): Promise<void>
}

/** For who finds that everything is being ended. */
export const stranded = (): Promise<never> => new Promise(() => {})

interface Entry {
  thing: AsyncDisposable | null
  readonly opening: Promise<AsyncDisposable>
}

export function newHeld(): Held {
  const entries: Entry[] = []
  let over = false
  const dispose = async (entry: Entry): Promise<void> => {
    const thing = await entry.opening.catch(() => null)
    const at = entries.indexOf(entry)
    if (at < 0) return
    entries.splice(at, 1)
    await thing?.[Symbol.asyncDispose]()
  }
  return {
    get over() {
      return over
    },
    async open(work) {
      if (over) return stranded()
      const opening = work()
      const entry: Entry = { thing: null, opening }
      entries.push(entry)
      try {
        const thing = await opening
        entry.thing = thing
        if (over) return await stranded()
        return thing
      } catch (error) {
        entries.splice(entries.indexOf(entry), 1)
        throw error
      }
    },
    async end(thing) {
      const entry = entries.find((each) => each.thing === thing)
      if (entry !== undefined) await dispose(entry)
    },
    async endAll() {
      if (over) return stranded()
      over = true
      for (const entry of entries.toReversed()) await dispose(entry)
    },
  }
}
