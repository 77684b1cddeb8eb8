/**
 * Every specification and patch that was given to Go's stolonctl
 * (`test/golden/cli/validation.tsv`): exit code, first line of error output, and the stored
 * specification afterwards, byte for byte.
 */
import { expect, test } from "bun:test"
import { type ClusterData, newClusterData } from "#model/cluster.ts"
import { decode, encode, zeroTime } from "#model/codec.ts"
import type { ClusterUID } from "#model/ids.ts"
import { Spec } from "#model/spec.ts"
import { updateSpec } from "#ctl/edit.ts"
import { type SpecResult, broken, parseSpec } from "#ctl/spec.ts"
import { table } from "./golden.ts"

interface Outcome {
  readonly exit: number
  readonly error: string
  /** What is stored afterwards; empty: nothing. */
  readonly after: string
}

const holding = (spec: string): ClusterData =>
  newClusterData("c" as ClusterUID, decode(Spec, spec), zeroTime)

/** `init -y SPEC`: parsed and judged as `cmd/ctl-init.ts` does it. */
function initialised(input: string): Outcome {
  const parsed: SpecResult = parseSpec(input, "go")
  if (parsed.kind === "refused") return { exit: parsed.exit ?? 1, error: parsed.message, after: "" }
  const rule = broken(parsed.spec, "go")
  return rule === null
    ? { exit: 0, error: "", after: encode(Spec, parsed.spec) }
    : { exit: 1, error: `invalid cluster spec: ${rule}`, after: "" }
}

function updated(input: string, patch: boolean, before: string): Outcome {
  const edited = updateSpec(input, patch, "go")(holding(before))
  if (edited.kind === "refused")
    return { exit: edited.exit ?? 1, error: edited.message, after: before }
  if (edited.kind === "unchanged") throw new Error("update changes something or refuses")
  return { exit: 0, error: "", after: encode(Spec, edited.data.cluster.spec) }
}

const rows = table("validation.tsv").map(
  ([input = "", command = "", exit = "", error = "", before = "", after = ""]) =>
    ({ input, command, exit: Number(exit), error, before, after }) as const,
)

test("every recorded specification is played", () => expect(rows).toHaveLength(345))

test.each(rows.map((row) => [`${row.command} ${row.input}`, row] as const))(
  "in the go dialect %s ends as Go's",
  (_, { input, command, exit, error, before, after }) => {
    const ours =
      command === "init -y SPEC"
        ? initialised(input)
        : updated(input, command.includes("--patch"), before)
    expect(ours).toEqual({ exit, error, after })
  },
)
