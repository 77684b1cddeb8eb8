/**
 * The model PostgreSQL and the real one tell the same story. When this fails for the model, the
 * simulator tests a PostgreSQL that does not exist; when it fails for the real one, we believed
 * something wrong.
 */
import { expect, test } from "bun:test"
import { script } from "./lab.ts"
import { modelLab } from "./lab-model.ts"
import { realLab } from "./lab-real.ts"

const story = [
  "b streams: standby on timeline 1 after [] with rows 1",
  "acknowledged with b: b has 1 2",
  "without b: pending, visible rows 1 2",
  "after a cancel: done with notice, visible rows 1 2 3",
  "after the names went away: done",
  "in the crash: lost",
  "after the crash the row is visible",
  "b has the shutdown checkpoint: true",
  "b promoted: timeline 2",
  "a follows without rewind: timeline 2 after [1]",
  "b diverged: streaming false, row 30 there",
  "b rewound: timeline 3, row 30 gone",
  "insert on a standby: refused",
  "a closed pg_hba.conf: refused",
]

test("the model PostgreSQL tells the story, whatever the seed", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    await using lab = modelLab(seed)
    const told: string[] = []
    await script(lab, (line) => told.push(line))
    expect(told).toEqual(story)
  }
}, 60_000)

test("PostgreSQL tells the same story", async () => {
  await using lab = await realLab()
  const told: string[] = []
  await script(lab, (line) => told.push(line))
  expect(told).toEqual(story)
}, 180_000)
