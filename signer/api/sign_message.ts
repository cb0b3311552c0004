/**
 * Reading `{message, encoding?}` as it comes in JSON, on the socket and by HTTP.
 *
 * @module
 */
import { decodeBase64 } from "../../service/base64.ts";
import { SignError } from "../work/sign_error.ts";

/** A message's bytes. */
export interface ParsedMessage {
  message: Uint8Array;
  /** Whether the bytes need not be UTF-8. */
  binary: boolean;
  /** In which form its signature is wanted, or is there. */
  format: SignatureFormat;
}

/** `raw` is 64 bytes with either algorithm; `der` is for `es256` alone, as Java and OpenSSL have it. */
export type SignatureFormat = "raw" | "der";

const encoder = new TextEncoder();

/**
 * Reads the message: text, or any bytes with `encoding: "base64url"`.
 *
 * @throws {SignError} `invalid`, saying what is wrong
 *
 * @example
 * ```ts
 * parseMessage({ message: "_w", encoding: "base64url" }); // message [255], binary
 * ```
 */
export function parseMessage(json: unknown): ParsedMessage {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new SignError("invalid", "Send a JSON object with a 'message'.");
  }
  const { message, encoding = "utf8", format = "raw" } = json as Record<string, unknown>;
  if (format !== "raw" && format !== "der") {
    throw new SignError("invalid", "'format' must be 'raw' or 'der'.");
  }
  if (typeof message !== "string") throw new SignError("invalid", "'message' must be a text.");
  if (encoding === "utf8") {
    // A lone surrogate has no bytes: what would be signed is not what was sent.
    if (!message.isWellFormed()) {
      throw new SignError("invalid", "'message' has half a surrogate pair, which is no character.");
    }
    return { message: encoder.encode(message), binary: false, format };
  }
  if (encoding !== "base64url") {
    throw new SignError("invalid", "'encoding' must be 'utf8' or 'base64url'.");
  }
  const bytes = decodeBase64(message, "base64url");
  if (!bytes) {
    throw new SignError(
      "invalid",
      "'message' is not strictly base64url: no white space, no bits left over, padding whole or none.",
    );
  }
  return { message: bytes, binary: true, format };
}
