/**
 * A server's certificate and key as they lie in files.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { certificateHash } from "./certificate.ts";
import { generateCertificates } from "./generate.ts";

/** Where certificate and key lie. */
export interface CertificatePaths {
  /** The certificate chain, PEM. */
  certificatePath: string;
  /** Its private key, PEM. */
  keyPath: string;
}

/** A certificate, its key and its hash. */
export interface CertificatePair {
  /** The certificate chain, PEM. */
  cert: string;
  /** Its private key, PEM. */
  key: string;
  /** SHA-256 of the certificate. */
  hash: Uint8Array;
}

/**
 * Reads both files.
 *
 * @throws {StartError} a file cannot be read, or there is no certificate in it
 */
export async function readCertificate(paths: CertificatePaths): Promise<CertificatePair> {
  const { certificatePath, keyPath } = paths;
  const cert = await readFile(certificatePath, "--certificate-path");
  const key = await readFile(keyPath, "--key-path");
  try {
    return { cert, key, hash: await certificateHash(cert) };
  } catch (error) {
    throw new StartError(`Cannot use ${certificatePath}: ${reasonOf(error)}.`);
  }
}

async function readFile(path: string, flag: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new StartError(
      `Cannot read ${path}: ${
        reasonOf(error)
      }. Make a certificate with 'deno task pingpong:gen-certs', or name another file with ${flag}.`,
    );
  }
}

/** The host names that a certificate is for, without wildcards; none where it cannot be read. */
export function certificateNames(cert: string): string[] {
  let names: string | undefined;
  try {
    names = new X509Certificate(cert).subjectAltName;
  } catch {
    // Whether it is any good is found out when it is used.
  }
  return (names ?? "").split(/,\s*/)
    .map((entry) => /^DNS:([a-z0-9.-]+)$/i.exec(entry)?.[1])
    .filter((name) => name !== undefined);
}

/** For a first start and for demonstrations; what is there stays, even if it has expired. */
export async function makeMissingCertificate(
  { certificatePath, keyPath }: CertificatePaths,
  world: World,
): Promise<void> {
  for (const path of [certificatePath, keyPath]) {
    try {
      await Deno.stat(path);
      return;
    } catch (error) {
      // Reading it will say better what is wrong.
      if (!(error instanceof Deno.errors.NotFound)) return;
    }
  }
  const pinPath = `${certificatePath.replace(/\.pem$/, "")}.sha256`;
  await generateCertificates({ certificatePath, keyPath, pinPath, world });
}
