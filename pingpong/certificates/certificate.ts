/**
 * Self-signed certificates as browsers accept them by hash, and their SHA-256 hashes.
 *
 * A browser takes a certificate by hash (`serverCertificateHashes`) only when its key is ECDSA
 * P-256 and it is valid for at most 14 days. The DER (ITU-T X.690) of such a certificate is so
 * little that it is written here; keys and signatures are WebCrypto's.
 *
 * @module
 */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { decodeBase64 } from "../../service/base64.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** Options of {@linkcode createCertificate}. */
export interface CertificateOptions {
  /** Host names and addresses the certificate is for; the first is also its common name. @default localhost, 127.0.0.1, ::1 */
  names?: readonly string[];
  /**
   * From when it is valid, in milliseconds since the epoch.
   *
   * @default an hour ago, for clocks that are late; less where it would be more than 14 days in all
   */
  notBeforeMs?: number;
  /** How long it is valid from now on, in days: more than 0, at most 14. @default 13 */
  days?: number;
  /** Whose time it is, and where the serial number comes from. @default realWorld */
  world?: Pick<World, "nowMs" | "randomBytes">;
}

/** A certificate and its key. */
export interface Certificate {
  /** The certificate, PEM. */
  cert: string;
  /** The private key, PKCS #8 in PEM. */
  key: string;
  /** SHA-256 of the certificate's DER: what a client pins. */
  hash: Uint8Array<ArrayBuffer>;
}

const dayMs = 86_400_000;

/** The most days a browser lets a certificate taken by hash be valid. */
export const maxCertificateDays = 14;

/**
 * Makes a key and a self-signed certificate for it.
 *
 * @throws {RangeError} when `days` is out of range or there is no name
 *
 * @example
 * ```ts
 * const { cert, key, hash } = await createCertificate({ names: ["ping.example"] });
 * ```
 */
export async function createCertificate(options: CertificateOptions = {}): Promise<Certificate> {
  const { days = 13, world = realWorld } = options;
  const names = (options.names ?? ["localhost", "127.0.0.1", "::1"]).map(asciiName);
  if (!(days > 0 && days <= maxCertificateDays)) {
    throw new RangeError(
      `Cannot make a certificate as 'days' must be above 0 and at most ${maxCertificateDays}: current value is ${days}`,
    );
  }
  const untilMs = (options.notBeforeMs ?? world.nowMs()) + days * dayMs;
  const earliestMs = untilMs - maxCertificateDays * dayMs;
  const notBeforeMs = options.notBeforeMs ?? Math.max(world.nowMs() - 3_600_000, earliestMs);
  const [commonName] = names;
  if (commonName === undefined) throw new RangeError("Cannot make a certificate without a name");

  const pair = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const toBeSigned = der(
    0x30,
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, serialNumber(world)),
    ecdsaWithSha256,
    name(commonName),
    der(0x30, time(notBeforeMs), time(untilMs)),
    name(commonName),
    new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey)),
    der(0xa3, der(0x30, subjectAltName(names), basicConstraints, keyUsage, extendedKeyUsage)),
  );
  const signature = new Uint8Array(
    await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, toBeSigned),
  );
  const whole = der(0x30, toBeSigned, ecdsaWithSha256, der(0x03, zero, ecdsaSignature(signature)));
  return {
    cert: pem("CERTIFICATE", whole),
    key: pem(
      "PRIVATE KEY",
      new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey)),
    ),
    hash: await sha256(whole),
  };
}

/** A name as certificates have it: an address, or ASCII (RFC 5280, section 4.2.1.6). */
function asciiName(text: string): string {
  if (isIP(text) !== 0) return text;
  const [, wildcard = "", host = text] = /^(\*\.)(.+)$/.exec(text) ?? [];
  const ascii = domainToASCII(host);
  if (/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?$/i.test(ascii)) return wildcard + ascii;
  throw new RangeError(`Cannot make a certificate for '${text}': it is no host name or address`);
}

/**
 * The SHA-256 hash of the first certificate in PEM text.
 *
 * @throws {TypeError} when the text has none
 */
export async function certificateHash(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const body = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(text);
  const bytes = body && decodeBase64(body[1]!.replace(/\s/g, ""), "base64");
  if (!bytes) throw new TypeError("There is no certificate in PEM form");
  return await sha256(bytes);
}

/**
 * Reads a pin: a SHA-256 hash in hexadecimal (with or without colons) or base64; text around it,
 * as in the file that gen-certs writes, is left out.
 *
 * @throws {TypeError} when there is none
 */
export function parsePin(text: string): Uint8Array<ArrayBuffer> {
  const hex = /(?<![0-9A-Za-z+/])(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}(?![0-9A-Za-z+/=])/i.exec(text);
  if (hex) return Uint8Array.fromHex(hex[0].replaceAll(":", ""));
  const base64 = /(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{43}=/.exec(text);
  const bytes = base64 && decodeBase64(base64[0], "base64");
  if (bytes) return bytes;
  throw new TypeError(
    "A pin is the SHA-256 hash of a certificate: 64 hexadecimal digits, or base64",
  );
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

const zero = Uint8Array.of(0);
const ecdsaWithSha256 = der(0x30, oid("2a8648ce3d040302"));
const basicConstraints = der(
  0x30,
  oid("551d13"),
  der(0x01, Uint8Array.of(0xff)),
  der(0x04, der(0x30)),
);
/** Critical; digitalSignature only. */
const keyUsage = der(
  0x30,
  oid("551d0f"),
  der(0x01, Uint8Array.of(0xff)),
  der(0x04, der(0x03, Uint8Array.of(7, 0x80))),
);
/** serverAuth. */
const extendedKeyUsage = der(0x30, oid("551d25"), der(0x04, der(0x30, oid("2b06010505070301"))));

/** One DER value: tag, length, contents. */
function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  const value = new Uint8Array(head.length + length);
  value.set(head);
  let at = head.length;
  for (const part of contents) {
    value.set(part, at);
    at += part.length;
  }
  return value;
}

function oid(hex: string): Uint8Array {
  return der(0x06, Uint8Array.fromHex(hex));
}

function name(commonName: string): Uint8Array {
  const text = new TextEncoder().encode(commonName);
  return der(0x30, der(0x31, der(0x30, oid("550403"), der(0x0c, text))));
}

function time(timeMs: number): Uint8Array {
  const digits = new Date(timeMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  // UTCTime until 2049 (RFC 5280, section 4.1.2.5).
  return der(0x17, new TextEncoder().encode(digits.slice(2)));
}

function serialNumber(world: Pick<World, "randomBytes">): Uint8Array {
  const bytes = world.randomBytes(16);
  // Positive and without a leading zero byte.
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

function subjectAltName(names: readonly string[]): Uint8Array {
  const entries = names.map((one) => {
    const version = isIP(one);
    if (version === 4) return der(0x87, Uint8Array.from(one.split("."), Number));
    if (version === 6) return der(0x87, ipv6Bytes(one));
    return der(0x82, new TextEncoder().encode(one));
  });
  return der(0x30, oid("551d11"), der(0x04, der(0x30, ...entries)));
}

function ipv6Bytes(address: string): Uint8Array {
  // The URL parser knows all short forms and gives one: hexadecimal groups and at most one "::".
  const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [front, back] = [groups(head), groups(tail ?? "")];
  const zeros = Array<string>(8 - front.length - back.length).fill("0");
  return Uint8Array.from(
    [...front, ...zeros, ...back].map((group) => parseInt(group, 16)).flatMap((group) => [
      group >> 8,
      group & 0xff,
    ]),
  );
}

/** ECDSA-Sig-Value (RFC 3279, section 2.2.3) from WebCrypto's two numbers side by side. */
function ecdsaSignature(raw: Uint8Array): Uint8Array {
  const integer = (bytes: Uint8Array) => {
    const first = bytes.findIndex((byte) => byte !== 0);
    const value = bytes.subarray(first < 0 ? bytes.length - 1 : first);
    return value[0]! & 0x80 ? der(0x02, zero, value) : der(0x02, value);
  };
  return der(0x30, integer(raw.subarray(0, 32)), integer(raw.subarray(32)));
}

function pem(label: string, bytes: Uint8Array): string {
  const lines = bytes.toBase64().match(/.{1,64}/g)!.join("\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
