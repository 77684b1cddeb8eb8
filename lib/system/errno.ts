/**
 * What the operating system says of a file that cannot be used, in the words that C and Go use:
 * `open /x: no such file or directory`. Bun's messages have another order and scripts of Go's time
 * match on this one.
 */

const texts: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EEXIST: "file exists",
  EISDIR: "is a directory",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
}

/** `operation` is the system call, such as `open`; `path` the file it was for. */
export function fileTrouble(operation: string, path: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  const known = Object.hasOwn(texts, code) ? texts[code] : undefined
  return `${operation} ${path}: ${known ?? (error instanceof Error ? error.message : String(error))}`
}
