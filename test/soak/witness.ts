/**
 * What answers prove about the servers behind the proxy. Each answer says which server gave it, of
 * which system, whether it was in recovery and on which timeline; here it is judged whether it may
 * have said so, by what had been heard and acknowledged before its question was sent.
 *
 * Pure: times are arguments. What it finds is a text; null is nothing wrong.
 */

export interface Place {
  /** PostgreSQL's own; all servers are on one machine. */
  readonly port: number
  readonly system: string
  readonly recovery: boolean
  /** 0 of a server in recovery. */
  readonly timeline: number
}

/** As `soak_place()` of `site.ts` writes it. */
export function placeOf(text: string): Place | null {
  const found = /^(\d+)\|(\d+)\|(t|f)\|(\d+)$/.exec(text)
  if (found === null) return null
  const [, port, system = "", recovery, timeline] = found
  return { port: Number(port), system, recovery: recovery === "t", timeline: Number(timeline) }
}

export interface Answer {
  /** To which port of the proxy the session had been opened. */
  readonly door: "primary" | "reads"
  /** When the question was sent, and when its answer came, by one clock. */
  readonly sent: number
  readonly received: number
  readonly place: Place
  /** Where the session was before; null for its first answer. */
  readonly before: Place | null
}

export interface Witness {
  judge(answer: Answer): string | null
  /** Something begins that may make any server the primary. */
  pardon(): void
  /** The server at this port is acknowledged not to be the primary any more. */
  deposed(port: number, at: number): void
  /** From now on every proxy has had the time to hear who is the primary. */
  calm(at: number): void
}

export function newWitness(): Witness {
  let system: string | null = null
  /** By timeline: who answered on it, and when the first answer had come. */
  const reigns = new Map<number, { readonly port: number; readonly since: number }>()
  const ousted = new Map<number, number>()
  let calmSince = Infinity

  const ofPrimary = ({ sent, received, place }: Answer): string | null => {
    const { port, timeline } = place
    for (const [later, { since }] of reigns)
      if (later > timeline && since < sent)
        return `timeline ${timeline} answered after timeline ${later} had been heard of`
    const reign = reigns.get(timeline) ?? { port, since: received }
    reigns.set(timeline, reign)
    if (reign.port !== port) return `two servers on timeline ${timeline}: ${reign.port} and ${port}`
    const end = ousted.get(port)
    return end !== undefined && end < sent ? `${port} answered after it had been relieved` : null
  }
  const find = (answer: Answer): string | null => {
    const { door, place, before, sent } = answer
    system ??= place.system
    if (place.system !== system) return `system ${place.system} instead of ${system}`
    if (before !== null && before.port !== place.port) return "the session has changed its server"
    if (place.recovery)
      return door === "primary" ? "a server in recovery answered where the primary does" : null
    if (door === "reads" && before?.recovery === true && calmSince < sent)
      return "a session for reads stayed with a standby that was promoted"
    return ofPrimary(answer)
  }
  return {
    judge: (answer) => {
      const what = find(answer)
      return what === null ? null : `${answer.door} port: ${what} (${JSON.stringify(answer)})`
    },
    pardon: () => {
      ousted.clear()
      calmSince = Infinity
    },
    deposed: (port, at) => void ousted.set(port, at),
    calm: (at) => void (calmSince = at),
  }
}
