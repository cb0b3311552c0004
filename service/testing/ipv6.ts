/**
 * For tests that need IPv6.
 *
 * @module
 */

/** Whether this machine has ::1 at all; false also where a test may not listen. */
export function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}
