/**
 * An OpenID Connect issuer of access tokens for programs: npm `oidc-provider` with client
 * credentials alone, no pages and no people.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { JWK } from "jose";
import Provider from "oidc-provider";
import { realWorld, type World } from "../service/world/world.ts";

/** A client as OpenID Connect's registration writes it (RFC 7591, section 2). */
export interface ClientMetadata {
  client_id: string;
  client_secret?: string;
  /** What it may ask for, with spaces between. */
  scope: string;
}

/** Options of {@linkcode createOidcIssuer}. */
export interface OidcIssuerOptions {
  /** Its identifier: the tokens' `iss`, where its routes are. */
  url: string;
  /** The tokens' `aud`. */
  audience: string;
  /** Every scope there is. */
  scopes: readonly string[];
  /** Private keys that sign; the first is the one in use. ES256. */
  keys: readonly JWK[];
  /** Clients with a secret. */
  clients: readonly ClientMetadata[];
  /** Clients without one: devices, by their public Ed25519 key. */
  findDevice: (id: string) => Promise<JWK | undefined>;
  /** What a device may ask for. */
  deviceScopes: readonly string[];
  /** How long a token lives, in seconds. @default 900 */
  tokenLifetimeSeconds?: number;
  /** Whose time it is. @default the real world */
  world?: Pick<World, "nowMs">;
}

/** Answers a request, as `node:http` gives it. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * Makes the issuer's handler.
 *
 * Devices authenticate by `private_key_jwt` (RFC 7523, section 2.2), signed with EdDSA; others by
 * `client_secret_basic`.
 *
 * @example
 * ```ts
 * server.on("request", createOidcIssuer({ url, audience: "orb", scopes, keys, clients, … }));
 * ```
 */
export function createOidcIssuer(options: OidcIssuerOptions): NodeHandler {
  const { url, audience, scopes, keys, tokenLifetimeSeconds = 900 } = options;
  const provider = new Provider(url, {
    adapter: adapterOf(options),
    scopes: [...scopes],
    jwks: { keys: keys.map((key) => ({ ...key, use: "sig", alg: "ES256" })) },
    clientDefaults: { ...clientDefaults },
    clientAuthMethods: ["client_secret_basic", "private_key_jwt"],
    enabledJWA: { clientAuthSigningAlgValues: ["EdDSA"] },
    ttl: { ClientCredentials: tokenLifetimeSeconds },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => `urn:orrery:${audience}`,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          audience,
          scope: scopes.join(" "),
          accessTokenFormat: "jwt",
          accessTokenTTL: tokenLifetimeSeconds,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  return provider.callback();
}

/** Nothing that a person could log in by. */
const clientDefaults = {
  grant_types: ["client_credentials"],
  response_types: [],
  redirect_uris: [],
  id_token_signed_response_alg: "ES256",
  token_endpoint_auth_method: "client_secret_basic",
};

/** What `oidc-provider` keeps: the clients here, and for a while which assertions were used. */
function adapterOf({ clients, findDevice, deviceScopes, world = realWorld }: OidcIssuerOptions) {
  const byId = new Map(clients.map((client) => [client.client_id, client]));
  const kept = new Map<string, { payload: unknown; endsMs: number }>();
  return class Adapter {
    readonly #model: string;

    constructor(model: string) {
      this.#model = model;
    }

    async find(id: string): Promise<unknown> {
      if (this.#model !== "Client") {
        const found = kept.get(`${this.#model}:${id}`);
        return found && found.endsMs > world.nowMs() ? found.payload : undefined;
      }
      const client = byId.get(id);
      if (client !== undefined) return client;
      const key = await findDevice(id);
      return key && deviceClient(id, key, deviceScopes);
    }

    upsert(id: string, payload: unknown, expiresInSeconds = 3_600): Promise<void> {
      if (kept.size >= maxKept) forgetOldest(kept, world.nowMs());
      kept.set(`${this.#model}:${id}`, {
        payload,
        endsMs: world.nowMs() + expiresInSeconds * 1_000,
      });
      return Promise.resolve();
    }

    destroy(id: string): Promise<void> {
      kept.delete(`${this.#model}:${id}`);
      return Promise.resolve();
    }

    consume(): Promise<void> {
      return Promise.resolve();
    }

    revokeByGrantId(): Promise<void> {
      return Promise.resolve();
    }

    findByUid(): Promise<undefined> {
      return Promise.resolve(undefined);
    }

    findByUserCode(): Promise<undefined> {
      return Promise.resolve(undefined);
    }
  };
}

const maxKept = 100_000;

/** Those that have ended, and if there are none, the first. */
function forgetOldest(kept: Map<string, { endsMs: number }>, nowMs: number): void {
  for (const [id, { endsMs }] of kept) if (endsMs <= nowMs) kept.delete(id);
  if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
}

function deviceClient(id: string, key: JWK, scopes: readonly string[]) {
  return {
    client_id: id,
    scope: scopes.join(" "),
    token_endpoint_auth_method: "private_key_jwt",
    token_endpoint_auth_signing_alg: "EdDSA",
    jwks: { keys: [{ ...key, use: "sig" }] },
  };
}
