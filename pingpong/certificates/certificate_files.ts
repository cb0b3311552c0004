/**
 * A server's certificate and key as they lie in files.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { certificateHash, maxCertificateDays } from "./certificate.ts";
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
  if (/ENCRYPTED/.test(key)) {
    throw new StartError(
      `Cannot use ${keyPath}: the key is encrypted. Decrypt it with 'openssl pkcs8 -in ${keyPath} -out FILE' and name that file with --key-path.`,
    );
  }
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
  return (parse(cert)?.subjectAltName ?? "").split(/,\s*/)
    .map((entry) => /^DNS:([a-z0-9.-]+)$/i.exec(entry)?.[1])
    .filter((name) => name !== undefined);
}

/**
 * For a first start and for demonstrations: makes a pair where there is none, or where there is one
 * of this kind that has expired. Any other stays; reading it will say better what is wrong with it.
 */
export async function makeMissingCertificate(
  { certificatePath, keyPath }: CertificatePaths,
  world: World,
): Promise<void> {
  const cert = await textIfThere(certificatePath);
  const isWanted = cert === undefined
    ? await textIfThere(keyPath) === undefined
    : cert !== "unreadable" && hasExpired(cert, world);
  if (isWanted) await generateCertificates({ certificatePath, keyPath, world });
}

async function textIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? undefined : "unreadable";
  }
}

/** Whether it is one of those that `generateCertificates()` makes, past its time. */
function hasExpired(cert: string, world: World): boolean {
  const parsed = parse(cert);
  return parsed !== undefined && isSelfSigned(parsed) && Date.parse(parsed.validTo) < world.nowMs();
}

function parse(cert: string): X509Certificate | undefined {
  try {
    return new X509Certificate(cert);
  } catch {
    // Whether it is any good is found out when it is used.
    return undefined;
  }
}

function isSelfSigned({ issuer, subject }: X509Certificate): boolean {
  return issuer === subject;
}

/**
 * Whether a client needs the certificate's hash: nobody else vouches for one that is self-signed.
 * For any other an authority does, and a browser refuses its hash (key, or more than 14 days).
 */
export function needsPin(cert: string): boolean {
  const parsed = parse(cert);
  return parsed === undefined || isSelfSigned(parsed);
}

/**
 * Why browsers will refuse a certificate by its hash (W3C WebTransport, section 5.1), in words; none
 * where they will not, or where an authority vouches for it.
 */
export function browserObjections(cert: string, world: Pick<World, "nowMs">): string[] {
  const parsed = parse(cert);
  if (parsed === undefined) return [];
  const [fromMs, untilMs] = [Date.parse(parsed.validFrom), Date.parse(parsed.validTo)];
  const nowMs = world.nowMs();
  const objections: string[] = [];
  if (untilMs < nowMs) objections.push(`it has expired on ${parsed.validTo}`);
  if (fromMs > nowMs) objections.push(`it is not valid before ${parsed.validFrom}`);
  if (!isSelfSigned(parsed)) return objections;
  const { asymmetricKeyType, asymmetricKeyDetails } = parsed.publicKey;
  const curve = asymmetricKeyDetails?.namedCurve;
  if (asymmetricKeyType !== "ec" || (curve !== undefined && curve !== "prime256v1")) {
    objections.push(`its key is ${curve ?? asymmetricKeyType}, not ECDSA P-256`);
  }
  if (untilMs - fromMs > maxCertificateDays * 86_400_000) {
    objections.push(`it is valid for more than ${maxCertificateDays} days`);
  }
  return objections;
}
