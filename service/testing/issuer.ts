/**
 * For tests: an OpenID Connect issuer.
 *
 * @module
 */
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

/** An issuer at work. `await using` stops it. */
export interface TestIssuer extends AsyncDisposable {
  /** Its `iss`. */
  readonly url: string;
  /** Requests it was asked. */
  readonly asked: number;
  /** Takes another key into use. */
  newKey(): Promise<void>;
  /** Answers 500 to everything while it is down. */
  setUp(up: boolean): void;
  /** A token of `ann` with the scopes `read write`, unless `claims` say otherwise; `expires: null` is for ever. */
  token(
    claims?: Record<string, unknown>,
    options?: { audience?: string; expires?: string | null; key?: CryptoKey },
  ): Promise<string>;
}

/** Starts an issuer with discovery and a key set, which is all that a resource server sees of one. */
export async function startIssuer(): Promise<TestIssuer> {
  const keys: JWK[] = [];
  let privateKey: CryptoKey;
  let kid = 0;
  let up = true;
  let asked = 0;
  let url = "";
  const answer = (request: Request): Response => {
    asked++;
    if (!up) return new Response("down", { status: 500 });
    const { pathname } = new URL(request.url);
    if (pathname === "/.well-known/openid-configuration") {
      return Response.json({ issuer: url, jwks_uri: `${url}/jwks` });
    }
    return pathname === "/jwks" ? Response.json({ keys }) : new Response(null, { status: 404 });
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
  url = `http://127.0.0.1:${server.addr.port}`;
  async function newKey() {
    const pair = await generateKeyPair("ES256");
    privateKey = pair.privateKey;
    keys.push({ ...await exportJWK(pair.publicKey), alg: "ES256", kid: String(++kid) });
  }
  await newKey();
  return {
    url,
    newKey,
    setUp: (value: boolean) => up = value,
    get asked() {
      return asked;
    },
    token(
      claims: Record<string, unknown> = {},
      { audience = "api", expires = "1h", key = privateKey } = {},
    ) {
      const token = new SignJWT({ scope: "read write", sub: "ann", ...claims })
        .setProtectedHeader({ alg: "ES256", kid: String(kid) })
        .setIssuer(typeof claims.iss === "string" ? claims.iss : url)
        .setAudience(audience).setIssuedAt();
      return (expires === null ? token : token.setExpirationTime(expires)).sign(key);
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
