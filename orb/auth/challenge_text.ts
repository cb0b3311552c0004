/**
 * What a device signs to prove itself, for both sides.
 *
 * @module
 */

/**
 * The text whose UTF-8 bytes are signed with Ed25519. It begins with what it is for: a signature
 * of the same key over anything else is no answer to a challenge.
 *
 * @example
 * ```ts
 * sign(privateKey, new TextEncoder().encode(challengeText(challenge)));
 * ```
 */
export function challengeText(challenge: string): string {
  return `orrery orb attestation v1\n${challenge}`;
}
