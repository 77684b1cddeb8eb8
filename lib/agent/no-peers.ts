/**
 * Peers for who has none: a Go name, `--peer-listen-address off`, tests that are about something
 * else. Nobody answers, nobody is heard, and nothing that is concluded from either harms: no lease
 * is prolonged and no evidence found.
 */
import type { PeerEndpoint, Peers } from "#port/peer.ts"

const nobody = (): Promise<never> => Promise.reject(new Error("peers are off"))

export const noPeers: Peers = {
  signs: false,
  promise: nobody,
  lease: nobody,
  nudge: () => Promise.resolve(),
  knock: () => Promise.resolve("silent"),
  // whoever listens listens again: it never resolves, so that nobody goes round and round
  listen: (_, signal) =>
    new Promise((_resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    }),
}

export const noEndpoint: PeerEndpoint = {
  address: "",
  answer: () => {},
  [Symbol.asyncDispose]: () => Promise.resolve(),
}
