/**
 * Questions and warnings whose wording scripts wait for (expect, `yes |`): Go's bytes in both
 * dialects (reference 1.7).
 */
export const question = "Are you sure you want to continue? [yes/no] "
export const again = "Please enter 'yes' or 'no'\n"
export const removal = "WARNING: The current cluster data will be removed\n"
export const overwriting =
  "WARNING: The databases managed by the keepers will be overwritten depending on the provided cluster spec.\n"

/** What a line of the answer means. Only the whole word counts: this may destroy databases. */
export const answer = (line: string): "yes" | "no" | "unclear" =>
  line === "yes" || line === "no" ? line : "unclear"
