/** Which infos of pods count, when, and to whom. */
import { describe, expect, test } from "bun:test"
import { millis } from "#base/brand.ts"
import { freshness, stampText } from "#store/kube-fresh.ts"
import {
  type KubeObject,
  parseObject,
  stampAnnotation,
  statusAnnotation,
} from "#store/kube-objects.ts"

const begun = Date.parse("2026-01-02T03:04:05Z")
const ttl = millis(20_000)

interface Pod {
  readonly name?: string
  readonly status?: string
  /** When it was stamped, by the server's clock; null: by Go, which stamps nothing. */
  readonly at?: number | null
  readonly phase?: string
  readonly deleted?: number
}
const pod = ({
  name = "a",
  status = "one",
  at = begun,
  phase = "Running",
  deleted,
}: Pod = {}): KubeObject =>
  parseObject(
    {
      metadata: {
        name,
        uid: `uid of ${name}`,
        annotations: {
          [statusAnnotation]: status,
          ...(at === null ? {} : { [stampAnnotation]: stampText(status, ttl, at) }),
        },
        ...(deleted === undefined ? {} : { deletionTimestamp: new Date(deleted).toISOString() }),
      },
      status: { phase },
    },
    "a pod",
  )
/** Looks at a pod at a time after the beginning, on the reader's clock and on the server's. */
function reader(offset = 0) {
  const fresh = freshness()
  const looks = (it: KubeObject, ms: number): boolean => {
    fresh.note(it, millis(ms))
    return fresh.counts(it, millis(ms), begun + ms + offset)
  }
  return { fresh, looks }
}

describe("counts()", () => {
  test("D-89 is no for what a newcomer finds stamped longer ago than it lasts", () => {
    const { looks } = reader()
    expect(looks(pod({ at: begun - 60_000 }), 0)).toBe(false)
    expect(looks(pod({ name: "b", at: begun - 10_000 }), 0)).toBe(true)
  })

  test("ends when an info has not changed for its time, by the reader's clock", () => {
    const { looks } = reader()
    expect(looks(pod(), 0)).toBe(true)
    expect(looks(pod(), 20_000)).toBe(true)
    expect(looks(pod(), 20_001)).toBe(false)
    expect(looks(pod({ status: "two", at: begun + 30_000 }), 30_000)).toBe(true)
  })

  test("of an info that was seen to change goes by no server's clock", () => {
    const hour = 3_600_000
    const { looks } = reader(hour) // the server that answers is an hour ahead of the other
    expect(looks(pod(), 0)).toBe(false)
    expect(looks(pod({ status: "two" }), 5000)).toBe(true)
    expect(looks(pod({ status: "two" }), 26_000)).toBe(false)
  })

  test("of Go's info, which has no stamp, lasts as long as its pod", () => {
    const { looks } = reader()
    expect(looks(pod({ at: null }), 0)).toBe(true)
    expect(looks(pod({ at: null }), 1_000_000)).toBe(true)
    expect(looks(pod({ at: null, phase: "Failed" }), 1_000_001)).toBe(false)
    expect(looks(pod({ at: null, phase: "Succeeded" }), 1_000_002)).toBe(false)
  })

  test("takes no stamp for Go's info that was made for ours before it", () => {
    const { looks } = reader()
    const ours = pod({ at: begun - 60_000 })
    const annotations = { ...ours.metadata.annotations, [statusAnnotation]: "by Go" }
    expect(looks({ ...ours, metadata: { ...ours.metadata, annotations } }, 0)).toBe(true)
  })

  test("D-89 ends with the grace of a deleted pod whose node is lost, not before", () => {
    const { looks } = reader()
    const leaving = { at: null, deleted: begun + 30_000 }
    expect(looks(pod(leaving), 0)).toBe(true)
    expect(looks(pod(leaving), 40_000)).toBe(false)
    expect(looks(pod({ ...leaving, status: "still there" }), 41_000)).toBe(true)
  })
})

describe("compare()", () => {
  test("D-89 believes the pod that was seen to speak, then the later stamp", () => {
    const { fresh, looks } = reader()
    const [living, left] = [pod({ name: "a" }), pod({ name: "zz", at: begun - 1000 })]
    for (const it of [living, left]) looks(it, 0)
    expect(fresh.compare(living, left)).toBeLessThan(0)
    const again = pod({ name: "zz", status: "two", at: begun - 500 })
    looks(again, 1000)
    expect(fresh.compare(living, again)).toBeGreaterThan(0)
  })
})

test("nextEnd() is when the next info runs out", () => {
  const { fresh, looks } = reader()
  expect(fresh.nextEnd(millis(0))).toBeNull()
  looks(pod({ at: null }), 0)
  expect(fresh.nextEnd(millis(0))).toBeNull()
  looks(pod({ name: "b" }), 500)
  looks(pod({ name: "c" }), 700)
  expect(fresh.nextEnd(millis(700))).toBe(millis(20_501))
  expect(fresh.nextEnd(millis(20_600))).toBe(millis(20_701))
  expect(fresh.nextEnd(millis(30_000))).toBeNull()
})
