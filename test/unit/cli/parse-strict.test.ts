/** The stolon dialect: every doubt is an error that says what to type. */
import { describe, expect, test } from "bun:test"
import { type Environment, parse } from "#cli/parse.ts"
import { sample } from "./sample.ts"

const strict = (argv: readonly string[], env: Environment = {}) =>
  parse(sample, argv, env, "stolon")
function message(argv: readonly string[], env: Environment = {}): string {
  const parsed = strict(argv, env)
  return parsed.kind === "usage-error" ? parsed.message : parsed.kind
}

describe("parse() in the stolon dialect", () => {
  test("takes both forms, shorthands, one word and the environment", () => {
    const parsed = strict(["word", "--name", "x", "--wait=1m30s", "-yf", "p", "--hosts=a,b"], {
      STSAMPLE_COUNT: "0x10",
    })
    expect(parsed).toMatchObject({
      kind: "ok",
      values: { name: "x", wait: 90_000, yes: true, file: "p", hosts: ["a", "b"], count: 16 },
      positionals: ["word"],
    })
  })

  test.each([
    [["--nmae=x"], "unknown flag --nmae; did you mean --name?"],
    [["--passwordFile=x"], "unknown flag --passwordFile; did you mean --password-file?"],
    [["--zzz"], "unknown flag --zzz"],
    [["--old=x"], "unknown flag --old"],
    [["-name=x"], "unknown flag -name; did you mean --name?"],
    [["-x"], "unknown flag -x"],
    [["-yx"], "unknown flag -x in -yx"],
    [["--name"], "--name needs a value: --name=VALUE"],
    [["--name", "--yes"], "--name needs a value: --name=VALUE (what follows it, --yes, is a flag)"],
    [["--name=a", "--name=b"], '--name is given twice ("a", then "b"); give it once'],
    [
      ["--hosts=a", "--hosts=b"],
      '--hosts is given twice ("a", then "b"); give one list, separated by commas',
    ],
    [
      ["--uid=a", "--id=b"],
      '--id is given twice as --uid and as --id ("a", then "b"); give it once',
    ],
    [["--password=abc", "--password=def"], "--password is given twice; give it once"],
    [["a", "b"], 'unexpected argument "b"; this command takes at most 1'],
    [
      ["a", "--safe", "false"],
      'unexpected argument "false"; a switch takes its value as --safe=false',
    ],
    [["--safe=maybe"], '--safe "maybe": expected true or false'],
    [["--count=-1"], '--count "-1": expected a whole number of at least 0'],
    [["--count=1.5"], '--count "1.5": expected a whole number'],
    [["--wait=5"], '--wait "5": expected a duration such as 5s, 500ms or 1m30s'],
    [["--wait=0s"], '--wait "0s": expected a duration above zero, such as 5s or 1m30s'],
    [["--level=hihg"], '--level "hihg": expected one of low, high; did you mean high?'],
    [
      ["--password=abc", "--password-file=f"],
      "--password and --password-file exclude each other; give one of them",
    ],
  ])("refuses %j and says what was meant", (argv, expected) => {
    expect(message(argv)).toBe(expected)
  })

  test("names the environment variable that is wrong or in conflict", () => {
    expect(message([], { STOLON_WAIT: "x" })).toBe(
      'STOLON_WAIT "x": expected a duration such as 5s, 500ms or 1m30s',
    )
    expect(message(["--password-file=f"], { STSAMPLE_PASSWORD: "abc" })).toBe(
      "STSAMPLE_PASSWORD and --password-file exclude each other; give one of them",
    )
  })

  test("does not look at a variable that argv overrides", () => {
    expect(strict(["--wait=1s"], { STOLON_WAIT: "x" })).toMatchObject({
      kind: "ok",
      values: { wait: 1000 },
    })
  })

  test("never shows a secret", () => {
    expect(message(["--password=ab"])).toBe("--password: expected at least three characters")
    expect(message([], { STSAMPLE_PASSWORD: "ab" })).toBe(
      "STSAMPLE_PASSWORD: expected at least three characters",
    )
  })

  test("answers --help and --version whatever else is wrong, but not behind --", () => {
    expect(message(["--nope", "--help"])).toBe("help")
    expect(message(["-h", "--version"])).toBe("help")
    expect(message(["--nope", "--version"])).toBe("version")
    expect(strict(["--", "--help"])).toMatchObject({ kind: "ok", positionals: ["--help"] })
  })

  test("accepts deprecated names with a notice", () => {
    expect(strict(["--id=x", "--debug"])).toMatchObject({
      kind: "ok",
      values: { uid: "x", debug: true },
      notices: [
        "Flag --id has been deprecated, please use --uid",
        "Flag --debug has been deprecated, use --level=high instead",
      ],
    })
  })
})
