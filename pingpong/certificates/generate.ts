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
  /**
   * Where the certificate's hash goes, as `--pin` takes it.
   *
   * @default beside the certificate: "cert.sha256" for "cert.pem"
   */
  pinPath?: string;
  /**
   * Host names and addresses the certificate is for; other than ASCII becomes punycode (RFC 5891).
   *
   * @default localhost, 127.0.0.1, ::1
   */
  name?: readonly string[];
  /** How long it is valid, in days: more than 0, at most 14. @default 13 */
  days?: number;
  /** Whose time it is, and where the serial number comes from. @default realWorld */
  world?: World;
}

/** Where the hash of a certificate lies: beside it. */
export function pinPathOf(certificatePath: string): string {
  return `${certificatePath.replace(/\.pem$/, "")}.sha256`;
}

/**
 * Makes a certificate and its key, and writes them and the hash: all three, or none.
 *
 * @throws {StartError} a file cannot be written; what was there before is as it was
 * @throws {RangeError} `days` is out of range, there is no name, or one that cannot be one
 *
 * @example
 * ```ts
 * const { hash } = await generateCertificates({ name: ["ping.example"], days: 7 });
 * ```
 */
export async function generateCertificates(
  options: GenerateCertificatesOptions = {},
): Promise<Certificate> {
  const { certificatePath = "cert.pem", keyPath = "key.pem" } = options;
  const { pinPath = pinPathOf(certificatePath) } = options;
  const { world = realWorld } = options;
  const made = await createCertificate({
    world,
    ...(options.name && { names: options.name }),
    ...(options.days !== undefined && { days: options.days }),
  });
  // The key first: a server that reads meanwhile finds a pair that does not fit, and reads again.
  await writeAll([
    { path: keyPath, text: made.key, mode: 0o600 },
    { path: certificatePath, text: made.cert, mode: 0o644 },
    { path: pinPath, text: `${made.hash.toHex()}\n`, mode: 0o644 },
  ], world);
  return made;
}

/**
 * Writes all aside and then renames them one behind the other, so that half a file is never read
 * and a folder that cannot be written leaves all as it was. Nothing aside is left, least of all a key.
 */
async function writeAll(
  files: readonly { path: string; text: string; mode: number }[],
  world: World,
): Promise<void> {
  const suffix = world.randomUuid();
  const asides = files.map(({ path }) => `${path}.${suffix}`);
  try {
    for (const [index, { path, text, mode }] of files.entries()) {
      await writeAside(path, asides[index]!, text, mode);
    }
    // Without waits between them; `gen-certs` ends behind the last, whatever interrupts it.
    for (const [index, { path }] of files.entries()) Deno.renameSync(asides[index]!, path);
  } finally {
    for (const aside of asides) await Deno.remove(aside).catch(() => {});
  }
}

async function writeAside(path: string, aside: string, text: string, mode: number): Promise<void> {
  try {
    // What a rename could not replace is found out before anything is.
    if ((await Deno.stat(path).catch(() => undefined))?.isDirectory) {
      throw new Error("it is a folder");
    }
    await Deno.writeTextFile(aside, text, { mode, createNew: true });
  } catch (error) {
    throw new StartError(`Cannot write ${path}: ${reasonOf(error)}`);
  }
}
