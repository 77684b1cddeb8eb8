/**
 * Certificates for tests, made by the openssl command: authorities, and servers' or clients'
 * certificates signed by them.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"

export interface Certificate {
  readonly cert: string
  readonly key: string
}

async function openssl(...args: readonly string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...args], { stdout: "ignore", stderr: "pipe" })
  const trouble = await new Response(child.stderr).text()
  if ((await child.exited) !== 0) throw new Error(`openssl ${args.join(" ")}: ${trouble}`)
}

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

export async function makeAuthority(directory: string, name: string): Promise<Certificate> {
  const made = filesOf(directory, name)
  const subject = ["-subj", `/CN=${name}`, "-days", "2"]
  await openssl("req", "-x509", ...curve, "-keyout", made.key, "-out", made.cert, ...subject)
  return made
}

/** `names` as in `IP:127.0.0.1,DNS:localhost`. */
export async function makeCertificate(
  directory: string,
  name: string,
  names: string,
  authority: Certificate,
): Promise<Certificate> {
  const made = filesOf(directory, name)
  const request = join(directory, `${name}.csr`)
  const extensions = join(directory, `${name}.ext`)
  writeFileSync(extensions, `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`)
  await openssl(
    "req",
    "-new",
    ...curve,
    "-keyout",
    made.key,
    "-out",
    request,
    "-subj",
    `/CN=${name}`,
  )
  const signer = ["-CA", authority.cert, "-CAkey", authority.key, "-CAcreateserial"]
  await openssl(
    "x509",
    "-req",
    "-in",
    request,
    "-out",
    made.cert,
    "-days",
    "2",
    ...signer,
    "-extfile",
    extensions,
  )
  return made
}

const filesOf = (directory: string, name: string): Certificate => ({
  cert: join(directory, `${name}.pem`),
  key: join(directory, `${name}.key`),
})
