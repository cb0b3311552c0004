/**
 * Signing and verifying: Ed25519 (RFC 8032), ECDSA on P-256 with SHA-256 (`r ‖ s`, as in
 * RFC 7518 section 3.4), and `base64`, the original's stand-in for a signature.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
} from "node:crypto";
import { createHash } from "node:crypto";
import { decodeBase64 } from "../../service/base64.ts";

/** What `--algorithm` takes. */
export const algorithms = ["ed25519", "es256", "base64"] as const;
/** One of {@linkcode algorithms}. */
export type Algorithm = typeof algorithms[number];
/** The algorithms that have keys. */
export type KeyAlgorithm = Exclude<Algorithm, "base64">;

/** A public key as a JWK (RFC 7517), with its RFC 7638 thumbprint as `kid`. */
export interface PublicJwk {
  kty: "OKP" | "EC";
  crv: "Ed25519" | "P-256";
  x: string;
  y?: string;
  /** `EdDSA` or `ES256`: the names that JOSE libraries know. */
  alg: "EdDSA" | "ES256";
  use: "sig";
  kid: string;
}

/** A private key at hand. */
export interface PrivateKey {
  readonly algorithm: KeyAlgorithm;
  readonly publicJwk: PublicJwk;
  readonly object: KeyObject;
}

/**
 * Makes a new key.
 *
 * @example
 * ```ts
 * const key = generateKey("ed25519");
 * importVerifier(key.publicJwk).verify(message, sign(key, message)); // true
 * ```
 */
export function generateKey(algorithm: KeyAlgorithm): PrivateKey {
  const { privateKey } = algorithm === "ed25519"
    ? generateKeyPairSync("ed25519")
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKeyOf(privateKey);
}

/**
 * Reads a private key, a PKCS #8 PEM or a JWK.
 *
 * @throws {TypeError} it is neither, or of another kind than Ed25519 and P-256
 */
export function importPrivateKey(source: string | JsonWebKey): PrivateKey {
  let object: KeyObject;
  try {
    object = typeof source === "string"
      ? createPrivateKey(source)
      : createPrivateKey({ key: source, format: "jwk" });
  } catch (error) {
    throw new TypeError(
      `It is not a private key as PKCS #8 PEM or JWK (${
        error instanceof Error ? error.message : error
      }).`,
    );
  }
  return privateKeyOf(object);
}

/** The private key as a JWK, for its file. */
export function exportPrivateJwk(key: PrivateKey): JsonWebKey {
  return key.object.export({ format: "jwk" });
}

function privateKeyOf(object: KeyObject): PrivateKey {
  const jwk = createPublicKey(object).export({ format: "jwk" });
  const publicJwk = toPublicJwk(jwk);
  if (!publicJwk) {
    throw new TypeError(
      `It is a ${jwk.kty} ${jwk.crv ?? ""} key; only Ed25519 and P-256 sign here.`,
    );
  }
  return { algorithm: publicJwk.kty === "OKP" ? "ed25519" : "es256", publicJwk, object };
}

/** The public part of a JWK, with its thumbprint; nothing if it is of no kind that signs here. */
export function toPublicJwk(jwk: JsonWebKey): PublicJwk | undefined {
  const { kty, crv, x, y } = jwk;
  if (kty === "OKP" && crv === "Ed25519" && typeof x === "string") {
    return { kty, crv, x, alg: "EdDSA", use: "sig", kid: thumbprint({ crv, kty, x }) };
  }
  if (kty === "EC" && crv === "P-256" && typeof x === "string" && typeof y === "string") {
    return { kty, crv, x, y, alg: "ES256", use: "sig", kid: thumbprint({ crv, kty, x, y }) };
  }
  return undefined;
}

/** RFC 7638, section 3: the required members in the order of their names. */
function thumbprint(members: Record<string, string>): string {
  return createHash("sha256").update(JSON.stringify(members)).digest("base64url");
}

/** Signs; the result is 64 bytes long for both algorithms. */
export function sign(key: PrivateKey, message: Uint8Array): Uint8Array {
  return key.algorithm === "ed25519"
    ? nodeSign(null, message, key.object)
    : nodeSign("sha256", message, { key: key.object, dsaEncoding: "ieee-p1363" });
}

/** A public key at hand. */
export interface Verifier {
  readonly algorithm: KeyAlgorithm;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/**
 * Makes a verifier from a public JWK.
 *
 * @throws {TypeError} it is no key
 */
export function importVerifier(jwk: PublicJwk): Verifier {
  const key = createPublicKey({ key: { ...jwk }, format: "jwk" });
  return jwk.kty === "OKP"
    ? {
      algorithm: "ed25519",
      verify: (message, signature) =>
        signature.length === 64 && nodeVerify(null, message, key, signature),
    }
    : {
      algorithm: "es256",
      verify: (message, signature) =>
        signature.length === 64 &&
        nodeVerify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature),
    };
}

/** Base64 with padding (RFC 4648, section 4): the form of every signature on the wire. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** The bytes of strict base64 or base64url, with or without padding; nothing if it is not that. */
export function fromBase64(text: string): Uint8Array | undefined {
  return decodeBase64(text, /[-_]/.test(text) ? "base64url" : "base64");
}

/**
 * An ECDSA signature `r ‖ s` as the DER that Java and OpenSSL make and take (RFC 3279, section
 * 2.2.3: a SEQUENCE of two INTEGERs).
 */
export function toDer(signature: Uint8Array): Uint8Array {
  const half = signature.length / 2;
  const content = [
    ...derInteger(signature.subarray(0, half)),
    ...derInteger(signature.subarray(half)),
  ];
  return Uint8Array.of(0x30, content.length, ...content);
}

function derInteger(bytes: Uint8Array): number[] {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first === -1 ? [0] : [...bytes.subarray(first)];
  // A first bit that is set would make it negative.
  if (digits[0]! >= 0x80) digits.unshift(0);
  return [0x02, digits.length, ...digits];
}

/** The `r ‖ s` of 64 bytes of such a DER; nothing if it is not strictly DER, or of another curve. */
export function fromDer(der: Uint8Array): Uint8Array | undefined {
  const signature = new Uint8Array(64);
  if (der[0] !== 0x30 || der[1] !== der.length - 2) return undefined;
  let at = 2;
  for (const end of [32, 64]) {
    const length = der[at + 1] ?? 0;
    const digits = der.subarray(at + 2, at + 2 + length);
    at += 2 + length;
    const significant = digits[0] === 0 ? digits.subarray(1) : digits;
    if (significant.length > 32) return undefined;
    signature.set(significant, end - significant.length);
  }
  // One value has one form: whatever else was taken above does not come out the same.
  return Buffer.compare(toDer(signature), der) === 0 ? signature : undefined;
}
