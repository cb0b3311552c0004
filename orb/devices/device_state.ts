/**
 * How a device is, seen from the server.
 *
 * @module
 */

/**
 * - `silent`: no report for thrice its interval
 * - `error`: its last signup failed, or a part of it did
 * - `duplicate`, `signing`: what its last signup came to, or that it is under way
 * - `ok`: none of these
 */
export const deviceStates = ["ok", "signing", "duplicate", "error", "silent"] as const;

/** How a device is. */
export type DeviceState = typeof deviceStates[number];
