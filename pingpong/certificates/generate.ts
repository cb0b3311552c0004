/**
 * Makes a certificate and writes it, its key and its hash into files.
 *
 * @module
 */
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { type Certificate, createCertificate } from "./certificate.ts";

/** Options of {@linkcode generateCertificates}. */
export interface GenerateCertificatesOptions {
  /** Where the certificate goes, PEM. @default "cert.pem" */
  certificatePath?: string;
  /** Where its private key goes, PEM, for its owner only. @default "key.pem" */
  keyPath?: string;
  /** Where the certificate's hash goes, as `--pin` takes it. @default "cert.sha256" */
  pinPath?: string;
  /** Host names and addresses the certificate is for. @default localhost, 127.0.0.1, ::1 */
  name?: readonly string[];
  /** How long it is valid, in days: more than 0, at most 14. @default 13 */
  days?: number;
  /** Whose time it is, and where the serial number comes from. @default realWorld */
  world?: World;
}

/**
 * Makes a certificate and its key, and writes them and the hash.
 *
 * @throws {StartError} a file cannot be written
 * @throws {RangeError} `days` is out of range or there is no name
 *
 * @example
 * ```ts
 * const { hash } = await generateCertificates({ name: ["ping.example"], days: 7 });
 * ```
 */
export async function generateCertificates(
  options: GenerateCertificatesOptions = {},
): Promise<Certificate> {
  const { certificatePath = "cert.pem", keyPath = "key.pem", pinPath = "cert.sha256" } = options;
  const { world = realWorld } = options;
  const made = await createCertificate({
    world,
    ...(options.name && { names: options.name }),
    ...(options.days !== undefined && { days: options.days }),
  });
  // The key first: a server that reads meanwhile finds a pair that does not fit, and reads again.
  await writeWhole(keyPath, made.key, 0o600, world);
  await writeWhole(certificatePath, made.cert, 0o644, world);
  await writeWhole(pinPath, `${made.hash.toHex()}\n`, 0o644, world);
  return made;
}

/** Writes aside and renames, so that half a file is never read. */
async function writeWhole(path: string, text: string, mode: number, world: World): Promise<void> {
  const aside = `${path}.${world.randomUuid()}`;
  try {
    await Deno.writeTextFile(aside, text, { mode, createNew: true });
    await Deno.rename(aside, path);
  } catch (error) {
    throw new StartError(`Cannot write ${path}: ${reasonOf(error)}`);
  }
}
