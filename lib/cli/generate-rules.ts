/**
 * What the texts of `stolon generate` may be: the rules of whoever reads the generated files
 * (Kubernetes' names and quantities, systemd's words, image references), each said in one line.
 *
 * A text that passes can stand unquoted in a unit and in a name; nothing here is a secret.
 */
type Rule = (text: string) => string | null

const rule =
  (pattern: RegExp, expected: string): Rule =>
  (text) =>
    pattern.test(text) ? null : expected

/** Room is left for what is added to it: `-keeper-10`, and the hash of a revision. */
export const clusterRule = rule(
  /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
  "expected at most 40 lower-case letters, digits and hyphens, with a letter first: it becomes part of names",
)
export const dnsLabel = rule(
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)?$/,
  "expected at most 63 lower-case letters, digits and hyphens",
)
export const nameRule = rule(
  /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)?$/,
  "expected lower-case letters, digits, hyphens and dots",
)
/** A repository, with or without a registry, a tag and a digest. */
export const imageRule = rule(
  /^(?:[a-zA-Z0-9][\w.-]*(?::\d+)?(?:\/[a-z0-9][a-z0-9._-]*)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?)?$/,
  "expected an image such as stolon:1.2 or registry.example:5000/databases/stolon:1.2",
)
const quantity = String.raw`\d{1,9}(?:\.\d{1,3})?(?:m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?`
export const storageRule = rule(
  /^[1-9]\d{0,5}(?:\.\d{1,3})?(?:Mi|Gi|Ti|Pi|M|G|T|P)$/,
  "expected a size such as 10Gi, 500Gi or 2Ti",
)
export const resourcesRule: Rule = (text) => {
  const words = text === "" ? [] : text.split(",")
  const names = words.map((word) => word.split("=")[0])
  const each = new RegExp(`^(?:cpu|memory)=${quantity}$`)
  return words.every((word) => each.test(word)) && new Set(names).size === names.length
    ? null
    : "expected cpu=N,memory=N (either may be missing), such as cpu=500m,memory=1Gi"
}
export const versionRule: Rule = (text) => {
  const minor = /^1\.(\d{1,3})$/.exec(text)?.[1]
  return minor !== undefined && Number(minor) >= 20 ? null : "expected 1.20 or later, such as 1.29"
}
/** Also of systemd, for which a blank, `%`, `$`, a quote and a backslash mean something. */
export const pathRule = rule(
  /^\/[\w./@:+-]*$/,
  "expected an absolute path of letters, digits and . _ - + @ :",
)
export const userRule: Rule = (text) =>
  text !== "root" && /^[a-z_][a-z0-9_-]{0,31}$/.test(text)
    ? null
    : "expected the name of a user, and not root: PostgreSQL refuses it"
export const addressRule = rule(
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)?$/,
  "expected an IP address or a host name, without a port",
)
