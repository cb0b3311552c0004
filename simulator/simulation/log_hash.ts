/**
 * The running SHA-256 of an event log. Where the platform has a hash of its own that need not be waited
 * for (Deno, Node) it is that one, as it takes a third of the time; a page has none, and takes that of a
 * library. Both give the same digest.
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** A hash that takes text piece by piece. */
export interface LogHash {
  update(text: string): void;
  /** In hex; it takes nothing after it. */
  digest(): string;
}

/** What Deno and Node have: asked for at run time, so that a page's bundle need not know the module. */
interface Platform {
  readonly process?: {
    getBuiltinModule?(name: "node:crypto"): typeof import("node:crypto") | undefined;
  };
}

const native = (globalThis as Platform).process?.getBuiltinModule?.("node:crypto");

/** Begins a hash. */
export function newLogHash(): LogHash {
  return native === undefined ? portableLogHash() : nativeLogHash(native);
}

/** By the library: what a page has. */
export function portableLogHash(): LogHash {
  const hash = sha256.create();
  const encoder = new TextEncoder();
  return {
    update: (text) => void hash.update(encoder.encode(text)),
    digest: () => bytesToHex(hash.digest()),
  };
}

function nativeLogHash({ createHash }: typeof import("node:crypto")): LogHash {
  const hash = createHash("sha256");
  return { update: (text) => void hash.update(text), digest: () => hash.digest("hex") };
}
