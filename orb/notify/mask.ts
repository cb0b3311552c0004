/**
 * What looks like a secret, masked, for text that leaves for a chat.
 *
 * @module
 */

const patterns: readonly (readonly [found: RegExp, by: string])[] = [
  // Tokens: a JWT, and what follows `Bearer` or `Basic`.
  [/eyJ[\w-]+\.[\w-]+\.[\w-]*/g, "***"],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, "$1 ***"],
  // Names and passwords in addresses, and what their queries carry.
  [/(\w+:\/\/)[^\s/@]+@/g, "$1***@"],
  [
    /\b(access_token|api[-_]?key|authorization|client_secret|code|key|passwd|password|pwd|secret|sig|signature|token|X-Amz-[\w-]+)=[^\s&;,]+/gi,
    "$1=***",
  ],
  // The same as JSON.
  [
    /("(?:access_token|client_secret|password|secret|token|private_key|d)"\s*:\s*)"[^"]*"/gi,
    '$1"***"',
  ],
  [/(hooks\.\S+?\/services\/)\S+/g, "$1***"],
  [/-----BEGIN[^-]*PRIVATE KEY-----[^]*?(-----END[^-]*-----|$)/g, "***"],
];

/**
 * Masks tokens, passwords, keys and secrets in addresses.
 *
 * @example
 * ```ts
 * masked("postgres://orb:hunter2@db/orb is away"); // "postgres://***@db/orb is away"
 * ```
 */
export function masked(text: string): string {
  return patterns.reduce((masked, [found, by]) => masked.replace(found, by), text);
}
