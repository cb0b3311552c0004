/**
 * The bearer token of a page's person, for a server that lets nobody in without one (RFC 6750). It
 * lives as long as the tab, goes into the header of every request that the page makes, and never
 * into an address.
 *
 * @module
 */
const key = "orrery-token";

/** The token; empty if there is none. */
export function bearerToken(): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    // A browser that forbids storage, or none: there is no token.
    return "";
  }
}

/** Keeps a token; an empty one is forgotten. */
export function setBearerToken(token: string): void {
  if (token === "") sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, token);
}

/**
 * The header of the token, if there is one.
 *
 * @example
 * ```ts
 * await fetch("/v2/queue", { headers: { ...authorization() } });
 * ```
 */
export function authorization(): { authorization?: string } {
  return authorizationOf(bearerToken());
}

/** The same of a token that is given; a worker has no storage. */
export function authorizationOf(token: string): { authorization?: string } {
  return token === "" ? {} : { authorization: `Bearer ${token}` };
}
