/** The go dialect: pflag's and cobra's rules (reference 1.1, 1.2). */
import { describe, expect, test } from "bun:test"
import { type Environment, parse } from "#cli/parse.ts"
import { sample } from "./sample.ts"

const go = (argv: readonly string[], env: Environment = {}) => parse(sample, argv, env, "go")
function values(argv: readonly string[], env: Environment = {}) {
  const parsed = go(argv, env)
  if (parsed.kind !== "ok") throw new Error(`${parsed.kind}: ${JSON.stringify(parsed)}`)
  return parsed
}
function message(argv: readonly string[], env: Environment = {}): string {
  const parsed = go(argv, env)
  return parsed.kind === "usage-error" ? `${parsed.report}: ${parsed.message}` : parsed.kind
}

describe("parse() in the go dialect", () => {
  test("gives every flag its default", () => {
    expect(values([]).values).toEqual({
      name: "",
      wait: 5000,
      count: 3,
      hosts: [],
      safe: true,
      yes: false,
      file: "",
      level: "low",
      password: "",
      passwordFile: "",
      uid: "",
      debug: false,
      late: "",
      old: "",
    } as never)
  })

  test("takes --name=value and --name value, flags and words interleaved, the last one wins", () => {
    const {
      values: v,
      positionals,
      changed,
    } = values(["a", "--name=x", "b", "--name", "y", "--", "--count=9"])
    expect(v.name).toBe("y")
    expect(v.count).toBe(3)
    expect(positionals).toEqual(["a", "b", "--count=9"])
    expect([...changed]).toEqual([["name", "--name"]])
  })

  test("never takes the next word for a boolean, always for anything else", () => {
    expect(values(["--safe", "false"])).toMatchObject({
      values: { safe: true },
      positionals: ["false"],
    })
    expect(values(["--name", "--count=1"]).values).toMatchObject({ name: "--count=1", count: 3 })
  })

  test.each([
    [["-y"], { yes: true }],
    [["-f", "x"], { file: "x" }],
    [["-fx"], { file: "x" }],
    [["-f=x"], { file: "x" }],
    [["-yfx"], { yes: true, file: "x" }],
    [["-yf", "x"], { yes: true, file: "x" }],
  ])("reads shorthands %j", (argv, expected) => {
    expect(values(argv).values).toMatchObject(expected)
  })

  test.each(["1", "t", "T", "TRUE", "true", "True"])("reads --safe=%s as true", (word) => {
    expect(values([`--yes=${word}`]).values.yes).toBe(true)
  })
  test.each(["0", "f", "F", "FALSE", "false", "False"])("reads --safe=%s as false", (word) => {
    expect(values([`--safe=${word}`]).values.safe).toBe(false)
  })

  test.each([
    ["0x10", 16],
    ["1_0", 10],
    ["017", 15],
    ["0o17", 15],
    ["0b11", 3],
    ["-5", -5],
    ["+5", 5],
  ])("reads the Go integer %s", (text, expected) => {
    expect(values([`--count=${text}`]).values.count).toBe(expected)
  })

  test.each([
    [["--nosuch"], "usage: unknown flag: --nosuch"],
    [["--nosuch=1"], "usage: unknown flag: --nosuch"],
    [["-name=a"], "usage: unknown shorthand flag: 'n' in -name=a"],
    [["-yx"], "usage: unknown shorthand flag: 'x' in -x"],
    [["--name"], "usage: flag needs an argument: --name"],
    [["-f"], "usage: flag needs an argument: 'f' in -f"],
    [["--=x"], "usage: bad flag syntax: --=x"],
    [["---x"], "usage: bad flag syntax: ---x"],
    [
      ["--wait=abc"],
      'usage: invalid argument "abc" for "--wait" flag: time: invalid duration "abc"',
    ],
    [
      ["--wait=5"],
      'usage: invalid argument "5" for "--wait" flag: time: missing unit in duration "5"',
    ],
    [
      ["--safe=maybe"],
      'usage: invalid argument "maybe" for "--safe" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    [
      ["--yes=maybe"],
      'usage: invalid argument "maybe" for "-y, --yes" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    [
      ["--count=1s"],
      'usage: invalid argument "1s" for "--count" flag: strconv.ParseInt: parsing "1s": invalid syntax',
    ],
    [
      ["--count=9223372036854775808"],
      'usage: invalid argument "9223372036854775808" for "--count" flag: strconv.ParseInt: parsing "9223372036854775808": value out of range',
    ],
    // the first wrong argument decides, and errors beat help
    [
      ["--wait=abc", "--nosuch", "--help"],
      'usage: invalid argument "abc" for "--wait" flag: time: invalid duration "abc"',
    ],
    [["--level=mid"], "fatal: invalid level: mid"],
  ])("refuses %j with Go's words", (argv, expected) => {
    expect(message(argv)).toBe(expected)
  })

  test("prefers help to version, and either to a wrong word", () => {
    expect(message(["--version", "--help"])).toBe("help")
    expect(message(["--version", "--level=mid"])).toBe("version")
    expect(message(["-h"])).toBe("help")
    expect(message(["--help=false", "--version=false"])).toBe("ok")
  })

  test("reads the component's variable, then the common one, below argv", () => {
    const env = {
      STSAMPLE_NAME: "own",
      STOLON_NAME: "common",
      STOLON_WAIT: "7s",
      STOLON_COUNT: "9",
    }
    expect(values([], env).values).toMatchObject({ name: "own", wait: 7000, count: 3 })
    expect([...values([], env).changed]).toEqual([
      ["name", "STSAMPLE_NAME"],
      ["wait", "STOLON_WAIT"],
    ])
    expect(values(["--name=argv"], env).values.name).toBe("argv")
    expect(values([], { ...env, STSAMPLE_NAME: "" }).values.name).toBe("common")
    expect(values([], { STSAMPLE_YES: "true", STSAMPLE_HELP: "true" }).values.yes).toBe(false)
  })

  test("tells the alphabetically last wrong variable, even where argv overrides it or asks for help", () => {
    const env = { STSAMPLE_WAIT: "abc", STSAMPLE_COUNT: "x" }
    const told =
      'fatal: invalid value "abc" for STSAMPLE_WAIT: invalid argument "abc" for "--wait" flag: time: invalid duration "abc"'
    expect(message([], env)).toBe(told)
    expect(message(["--wait=5s", "--help"], env)).toBe(told)
  })

  test("tells of deprecated flags, and of those in the environment only beside one in argv", () => {
    const id = "Flag --id has been deprecated, please use --uid"
    const debug = "Flag --debug has been deprecated, use --level=high instead"
    expect(go(["--id=x", "--debug=false"])).toMatchObject({ kind: "ok", notices: [id, debug] })
    expect(go([], { STSAMPLE_DEBUG: "true" })).toMatchObject({
      notices: [],
      values: { debug: true },
    })
    expect(go(["--id=x"], { STSAMPLE_DEBUG: "true" })).toMatchObject({ notices: [debug, id] })
  })

  test("lets the new name win over its alias in the environment, and argv over both", () => {
    const env = { STSAMPLE_ID: "old", STSAMPLE_UID: "new" }
    expect(values([], env).values.uid).toBe("new")
    expect(values([], { STSAMPLE_ID: "old" }).values.uid).toBe("old")
    expect(values(["--id=argv"], env).values.uid).toBe("argv")
    expect(values(["--uid=a", "--id=b"]).values.uid).toBe("b")
  })
})
