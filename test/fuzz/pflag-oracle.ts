/**
 * The rules of pflag (reference 1.1) once more, written as a reader of one word after the other
 * that knows of no table: to be compared with the parser of the go dialect, never to be used by it.
 */
export interface Known {
  readonly bool: boolean
  /** The parse error that Go's flag of this type gives, or null. */
  readonly wrong: (text: string) => boolean
  readonly shorthand: string | null
}

export interface Verdict {
  readonly error: string | null
  readonly set: readonly (readonly [name: string, value: string])[]
  readonly words: readonly string[]
}

export function oracle(
  known: ReadonlyMap<string, Known>,
  shorthands: ReadonlyMap<string, string>,
  argv: readonly string[],
): Verdict {
  const set: (readonly [string, string])[] = []
  const words: string[] = []
  const rest = [...argv]
  const stop = (error: string): Verdict => ({ error, set, words })
  const put = (name: string, value: string): string | null => {
    const flag = known.get(name)
    if (flag === undefined) throw new Error(`the oracle does not know ${name}`)
    if (flag.wrong(value)) {
      const short = flag.shorthand === null ? "" : `-${flag.shorthand}, `
      return `invalid argument ${JSON.stringify(value)} for "${short}--${name}" flag: `
    }
    set.push([name, value])
    return null
  }
  while (rest.length > 0) {
    const word = rest.shift() ?? ""
    if (word === "--") {
      words.push(...rest)
      break
    }
    if (word[0] !== "-" || word.length === 1) {
      words.push(word)
      continue
    }
    if (word[1] === "-") {
      const [name = "", ...after] = word.slice(2).split("=")
      if (name === "" || name[0] === "-") return stop(`bad flag syntax: ${word}`)
      const flag = known.get(name)
      if (flag === undefined) return stop(`unknown flag: --${name}`)
      const value = after.length > 0 ? after.join("=") : flag.bool ? "true" : rest.shift()
      if (value === undefined) return stop(`flag needs an argument: ${word}`)
      const wrong = put(name, value)
      if (wrong !== null) return stop(wrong)
      continue
    }
    for (let letters = word.slice(1); letters !== "";) {
      const c = letters[0] ?? ""
      const name = shorthands.get(c)
      if (name === undefined) return stop(`unknown shorthand flag: '${c}' in -${letters}`)
      let value: string | undefined
      let left = ""
      if (letters.length > 2 && letters[1] === "=") value = letters.slice(2)
      else if (known.get(name)?.bool === true) [value, left] = ["true", letters.slice(1)]
      else value = letters.length > 1 ? letters.slice(1) : rest.shift()
      if (value === undefined) return stop(`flag needs an argument: '${c}' in -${letters}`)
      const wrong = put(name, value)
      if (wrong !== null) return stop(wrong)
      letters = left
    }
  }
  return { error: null, set, words }
}
