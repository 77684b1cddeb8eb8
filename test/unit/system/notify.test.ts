/** The word to systemd, heard on a real datagram socket as systemd makes it. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { FFIType, dlopen, ptr } from "bun:ffi"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sendDatagram } from "#system/libc.ts"
import { notifySystemd } from "#system/notify.ts"

const { i32, u32, u64, ptr: pointer } = FFIType
const library = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]
const declarations = {
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  recv: { args: [i32, pointer, u64, i32], returns: FFIType.i64 },
  close: { args: [i32], returns: i32 },
} as const
function libc() {
  for (const name of library) {
    try {
      return dlopen(name, declarations).symbols
    } catch {
      // the next name
    }
  }
  throw new Error("no C library")
}

let dir = ""
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "stolon-notify-"))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A socket bound to `name`; `heard` waits for the next datagram. */
function listener(name: string) {
  const c = libc()
  const fd = c.socket(1, 2, 0)
  const text = Buffer.from(name.startsWith("@") ? `\0${name.slice(1)}` : `${name}\0`)
  const address = new Uint8Array([1, 0, ...text])
  if (c.bind(fd, ptr(address), address.length) !== 0) throw new Error(`cannot bind ${name}`)
  const now = (): string | null => {
    const buffer = new Uint8Array(256)
    const dontWait = 0x40
    const length = Number(c.recv(fd, ptr(buffer), 256n, dontWait))
    return length < 0 ? null : new TextDecoder().decode(buffer.subarray(0, length))
  }
  return {
    now,
    async heard(): Promise<string> {
      const end = performance.now() + 5_000
      for (;;) {
        const text2 = now()
        if (text2 !== null) return text2
        if (performance.now() > end) throw new Error("nothing was heard in 5 s")
        await Bun.sleep(2)
      }
    },
    [Symbol.dispose]: () => void c.close(fd),
  }
}

test("notifySystemd() says READY at once, on a path and in the abstract name space", () => {
  for (const name of [join(dir, "path"), `@stolon-test-${process.pid}`]) {
    using socket = listener(name)
    using _ = notifySystemd(() => [], { NOTIFY_SOCKET: name })
    expect(socket.now()).toBe("READY=1")
    expect(socket.now()).toBeNull()
  }
})

test("notifySystemd() says WATCHDOG while all is well, and the reason while it is not", async () => {
  const name = join(dir, "watchdog")
  using socket = listener(name)
  let reasons: readonly string[] = []
  using _ = notifySystemd(() => reasons, { NOTIFY_SOCKET: name, WATCHDOG_USEC: "30000" })
  expect(await socket.heard()).toBe("READY=1")
  expect(await socket.heard()).toBe("WATCHDOG=1")
  reasons = ["the loop hangs"]
  let word = await socket.heard()
  while (word === "WATCHDOG=1") word = await socket.heard() // sent before
  expect(word).toBe("STATUS=the loop hangs")
  expect(await socket.heard()).toBe("STATUS=the loop hangs")
})

test("notifySystemd() takes the variables away, which are not meant for children", () => {
  const env = { NOTIFY_SOCKET: join(dir, "none"), WATCHDOG_USEC: "1", WATCHDOG_PID: "1", PATH: "x" }
  using _ = notifySystemd(() => [], env)
  expect<Record<string, string>>(env).toEqual({ PATH: "x" })
})

test("notifySystemd() heeds that the watchdog is another process's", async () => {
  const name = join(dir, "other")
  using socket = listener(name)
  const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: "3000", WATCHDOG_PID: "1" }
  using _ = notifySystemd(() => [], env)
  expect(socket.now()).toBe("READY=1")
  // had there been a timer, it would have come round while another socket's did so
  const second = join(dir, "mine")
  using mine = listener(second)
  using _2 = notifySystemd(() => [], { NOTIFY_SOCKET: second, WATCHDOG_USEC: "30000" })
  await mine.heard()
  await mine.heard()
  expect(socket.now()).toBeNull()
})

test("notifySystemd() goes on when nobody listens or nobody asked", () => {
  using _ = notifySystemd(() => [], { NOTIFY_SOCKET: join(dir, "gone") })
  using _2 = notifySystemd(() => [], {})
  expect(existsSync(join(dir, "gone"))).toBe(false)
})

test("sendDatagram() refuses a name that no socket can have", () => {
  expect(() => sendDatagram(`/${"x".repeat(200)}`, "READY=1")).toThrow("too long")
})
