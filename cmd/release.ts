/**
 * What this executable is. The build defines the two names (`scripts/build.ts`); run from source
 * they do not exist, and nothing is invented for them.
 */
import type { Release } from "#cli/release.ts"

declare const STOLON_VERSION: string | undefined
declare const STOLON_COMMIT: string | undefined

export const release: Release = {
  version: typeof STOLON_VERSION === "string" ? STOLON_VERSION : "",
  commit: typeof STOLON_COMMIT === "string" ? STOLON_COMMIT : "",
  runtime: `Bun ${Bun.version}`,
}
