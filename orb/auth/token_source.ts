/**
 * Where a client gets its access tokens: by client credentials of an OpenID Connect issuer, with a
 * secret or with a device's key, or by a challenge of the orb server that a device's key signs.
 *
 * @module
 */
import { type CryptoKey, SignJWT } from "jose";
import { isLoopback } from "../../service/http_server.ts";
import { timeoutSignal } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import { challengeText } from "./challenge_text.ts";
import type { Device } from "./device_keys.ts";

/** Gives a token that is good for some time. */
export interface TokenSource {
  /** The token; asks for one when there is none or it ends soon. @throws {TokenError} there is none */
  get(): Promise<string>;
  /** Forgets a token that was refused, so that the next is a new one. */
  forget(token: string): void;
}

/** No token can be had: why, without any secret. */
export class TokenError extends Error {
  override name = "TokenError";
}

/** What every way of getting one needs. */
export interface TokenSourceOptions {
  /** Makes the calls. */
  fetch: typeof fetch;
  /** How long one call may take, in milliseconds. @default 10_000 */
  timeoutMs?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Options of {@linkcode clientCredentials}. */
export interface ClientCredentialsOptions extends TokenSourceOptions {
  /** The issuer's identifier; where its tokens come from is found by its discovery document. */
  issuer: string;
  /** What tokens are asked for, with spaces between. */
  scope: string;
  /** The API they are for, where the issuer has several. @default the issuer's own */
  audience?: string;
  /** Who asks, and what proves it: a secret, or a device's key (RFC 7523). */
  client: { id: string; secret: string } | Device;
}

/** What a source was given. */
interface Granted {
  token: string;
  lifetimeMs: number;
}

/** A token is taken anew when this share of its life is over. */
const renewAfter = .8;

/**
 * Tokens of an issuer.
 *
 * @throws {TypeError} a secret would cross the network in the clear
 *
 * @example
 * ```ts
 * const tokens = clientCredentials({ issuer, scope: "orb:signup", client: device, fetch });
 * headers.set("authorization", `Bearer ${await tokens.get()}`);
 * ```
 */
export function clientCredentials(options: ClientCredentialsOptions): TokenSource {
  requireSafe(options.issuer);
  let endpoint: Promise<string> | undefined;
  return keep(options, async (ask) => {
    endpoint ??= discover(options.issuer, ask).catch((error) => {
      endpoint = undefined;
      throw error;
    });
    return await askForToken(options, await endpoint, ask);
  });
}

/** Options of {@linkcode attested}. */
export interface AttestedOptions extends TokenSourceOptions {
  /** The orb server. */
  server: string;
  /** Who asks. */
  device: Device;
}

/**
 * Tokens of the orb server itself: it gives a challenge, the device's key signs it.
 *
 * @example
 * ```ts
 * const tokens = attested({ server: "http://127.0.0.1:4242", device, fetch });
 * ```
 */
export function attested({ server, device, ...options }: AttestedOptions): TokenSource {
  requireSafe(server);
  return keep(options, async (ask) => {
    const { challenge } = await ask(`${server}/v2/auth/challenges`, jsonOf({ device: device.id }));
    if (typeof challenge !== "string") throw new TokenError("the orb server gave no challenge");
    const bytes = new TextEncoder().encode(challengeText(challenge));
    const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", device.privateKey, bytes));
    const answer = await ask(
      `${server}/v2/auth/tokens`,
      jsonOf({
        challenge,
        signature: signature.toBase64({ alphabet: "base64url", omitPadding: true }),
      }),
    );
    return grantedOf(answer);
  });
}

/** Posts, or gets where there is nothing to post, and gives the answer's JSON. */
type Ask = (url: string, init?: RequestInit) => Promise<Record<string, unknown>>;

/** One token for all who ask, taken anew in time, by one call at a time. */
function keep(options: TokenSourceOptions, grant: (ask: Ask) => Promise<Granted>): TokenSource {
  const { world = realWorld } = options;
  let held: { token: string; renewMs: number } | undefined;
  let asking: Promise<string> | undefined;
  async function take(): Promise<string> {
    const { token, lifetimeMs } = await grant(asker(options));
    held = { token, renewMs: world.monotonicMs() + lifetimeMs * renewAfter };
    return token;
  }
  return {
    get() {
      if (held && world.monotonicMs() < held.renewMs) return Promise.resolve(held.token);
      return asking ??= take().finally(() => asking = undefined);
    },
    forget(token) {
      if (held?.token === token) held = undefined;
    },
  };
}

async function askForToken(
  { client, scope, audience, issuer, world = realWorld }: ClientCredentialsOptions,
  endpoint: string,
  ask: Ask,
): Promise<Granted> {
  const body = new URLSearchParams({ grant_type: "client_credentials", scope });
  if (audience !== undefined) body.set("audience", audience);
  // RFC 8707 wants an absolute URI; another name is for issuers with a parameter of their own.
  if (audience !== undefined && URL.canParse(audience)) body.set("resource", audience);
  const headers = new Headers({ accept: "application/json" });
  if ("secret" in client) {
    const parts = [client.id, client.secret].map(encodeURIComponent);
    headers.set("authorization", `Basic ${btoa(parts.join(":"))}`);
  } else {
    body.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    body.set("client_assertion", await statement(client, issuer, world));
  }
  return grantedOf(await ask(endpoint, { method: "POST", body, headers }));
}

/** Who I am, for this issuer, once (RFC 7523, section 3). */
function statement(
  { id, privateKey }: { id: string; privateKey: CryptoKey },
  issuer: string,
  world: World,
): Promise<string> {
  const nowS = Math.floor(world.nowMs() / 1_000);
  return new SignJWT({}).setProtectedHeader({ alg: "EdDSA", kid: id })
    .setIssuer(id).setSubject(id).setAudience(issuer).setJti(world.randomUuid())
    .setIssuedAt(nowS).setExpirationTime(nowS + 60)
    .sign(privateKey);
}

async function discover(issuer: string, ask: Ask): Promise<string> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const document = await ask(url);
  if (document.issuer !== issuer) {
    throw new TokenError(`${url} is the discovery document of another issuer`);
  }
  const endpoint = document.token_endpoint;
  if (typeof endpoint !== "string" || !URL.canParse(endpoint)) {
    throw new TokenError(`${url} names no token_endpoint`);
  }
  requireSafe(endpoint);
  return endpoint;
}

function grantedOf(
  { access_token: token, token_type, expires_in }: Record<string, unknown>,
): Granted {
  if (typeof token !== "string" || token === "" || String(token_type).toLowerCase() !== "bearer") {
    throw new TokenError("the answer has no bearer token");
  }
  const seconds = typeof expires_in === "number" && expires_in > 0 ? expires_in : 60;
  return { token, lifetimeMs: seconds * 1_000 };
}

/** The most bytes of an issuer's answer. */
const maxAnswerBytes = 65_536;

function asker({ fetch, timeoutMs = 10_000, world = realWorld }: TokenSourceOptions): Ask {
  return async function askOnce(url, init = {}) {
    using deadline = timeoutSignal(timeoutMs, { world });
    // A secret is not carried to where a redirect points.
    const response = await fetch(url, { ...init, redirect: "manual", signal: deadline.signal });
    const text = await readLimited(response, url);
    if (response.status === 200 || response.status === 201) {
      try {
        return JSON.parse(text);
      } catch {
        throw new TokenError(`${url} answered no JSON`);
      }
    }
    throw new TokenError(`${url} answered ${response.status}${refusalOf(text)}`);
  };
}

async function readLimited(response: Response, url: string): Promise<string> {
  const chunks: string[] = [];
  let length = 0;
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxAnswerBytes) throw new TokenError(`${url} answered more than it may`);
    chunks.push(decoder.decode(chunk, { stream: true }));
  }
  return chunks.join("");
}

/** OAuth's `error` (RFC 6749, section 5.2) or a problem's `detail`; never the request's own words. */
function refusalOf(text: string): string {
  try {
    const { error, error_description, detail } = JSON.parse(text) as Record<string, unknown>;
    const words = [error, error_description, detail].filter((one) => typeof one === "string");
    return words.length > 0 ? `: ${words.join(", ").slice(0, 200)}` : "";
  } catch {
    return "";
  }
}

function jsonOf(body: object): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
}

function requireSafe(url: string): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:" || isLoopback(hostname)) return;
  throw new TypeError(
    `Secrets and tokens are not sent to ${url}: they would cross the network in the clear. Use https, or a loopback address.`,
  );
}
