/**
 * The token that both sides must know: the client shows it, the server proves that it knows it too.
 *
 * @module
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { reasonOf } from "../../service/resilience.ts";
import { StartError } from "../../service/life_cycle.ts";

/** The fewest characters of a token. */
const minTokenLength = 16;

/** With what a server proves that it knows the token: HMAC-SHA256 over the client's nonce. */
export function serverProof(token: string, nonce: string): string {
  return createHmac("sha256", token).update(`pingpong server ${nonce}`).digest("hex");
}

/** Compares without telling, by the time it takes, how much was right. */
export function equalInConstantTime(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}

/**
 * Reads the token from a file, its end of line left out.
 *
 * @throws {StartError} the file cannot be read or the token is shorter than 16 characters
 */
export async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = (await Deno.readTextFile(path)).trim();
  } catch (error) {
    throw new StartError(
      `Cannot read the token from ${path}: ${
        reasonOf(error)
      }. Give a readable file with --token-file.`,
    );
  }
  if (text.length < minTokenLength || /[^\x21-\x7e]/.test(text)) {
    throw new StartError(
      `Cannot take the token in ${path}: it must be at least ${minTokenLength} printable characters without spaces. Make one with: openssl rand -hex 32`,
    );
  }
  return text;
}
