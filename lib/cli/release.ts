/**
 * What an executable says of itself, in the words of each dialect. The facts come from the build;
 * who prints them passes them in (`cmd/release.ts`).
 */
export interface Release {
  /** Empty: run from source. */
  readonly version: string
  readonly commit: string
  readonly runtime: string
}

/** One line for people. */
export const versionLine = (it: Release): string => {
  const version = it.version === "" ? "development" : it.version
  const commit = it.commit === "" ? "" : ` (${it.commit})`
  return `stolon ${version}${commit}, ${it.runtime}\n`
}
/** Go's line, for scripts. */
export const goVersionLine = (program: string, it: Release): string =>
  `${program} version ${it.version === "" ? "No version defined at build time" : it.version}\n`
