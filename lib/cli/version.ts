/**
 * `stolon version`: no flags but --help, so that the smallest command stays the smallest. Loaded
 * only when it is called with arguments.
 */
import { command } from "./flag.ts"

export const versionCommand = command({
  name: "version",
  summary: "print version, commit and runtime",
  about: [],
  prefix: null,
  flags: {},
  inherited: [],
  positionals: { usage: "", max: 0 },
  goVersion: false,
  examples: [],
})
