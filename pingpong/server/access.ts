/**
 * Which clients get a session: the token both sides must know, the web pages that may connect, and
 * the name a client goes by. All of it is checked before any data.
 *
 * The client sends the token as a bearer token (RFC 6750) to a server whose certificate it has
 * verified; the server proves that it knows the token by an HMAC over the client's nonce. So each
 * side has authenticated the other. A page cannot send header fields: it gives the token, like its
 * name, in the URL's query.
 *
 * @module
 */
import type { Field } from "../http3/mod.ts";
import { fieldNames, isClientName, type NamedClient } from "../protocol/session_terms.ts";
import { equalInConstantTime, serverProof } from "../protocol/token.ts";
import type { Guard } from "../../service/http_guard.ts";

/** A request for a session, over WebTransport or WebSocket. */
export interface AccessRequest {
  /** Path and query. */
  path: string;
  /** The host the client means, with its port; empty if unknown. */
  authority: string;
  /** The page it comes from; `undefined` for a program. */
  origin: string | undefined;
  /** A header field by its lower-case name. */
  header(name: string): string | undefined;
}

/** What became of it: refused with a status and a reason, or let in. */
export type Access =
  | { status: 400 | 401 | 403 | 404; reason: string }
  | { status: 200; client: NamedClient | undefined; fields: readonly Field[] };

/** A request for a session that was refused, as the log has it. */
export interface RefusedSession {
  transport: "webtransport" | "websocket";
  /** The HTTP status it was answered with. */
  status: number;
  /** Why, in words. */
  reason: string;
}

/** Options of {@linkcode accessRule}. */
export interface AccessOptions {
  /** Which hosts and which pages are ours: the rule of all servers. */
  guard: Pick<Guard, "isKnownHost" | "source">;
  /** What a client must know. @default nothing */
  token?: string;
  /** Paths that sessions are had at. @default any */
  paths?: readonly string[];
  /** How many answers wait for a client: it gets to know. */
  waiting: (client: NamedClient | undefined) => number;
}

/**
 * Makes the rule that decides about every request for a session.
 *
 * @example
 * ```ts
 * const decide = accessRule({ guard: new Guard({ anyPort: true }), waiting: () => 0 });
 * const access = decide({ path: "/", authority: "localhost:4433", origin: undefined, header });
 * ```
 */
export function accessRule(options: AccessOptions): (request: AccessRequest) => Access {
  const { guard, token, paths, waiting } = options;

  return function decideAccess(request) {
    const url = new URL(request.path, "https://any");
    const given = (name: string) => request.header(name) ?? url.searchParams.get(name) ?? undefined;

    if (paths && !paths.includes(url.pathname)) {
      return { status: 404, reason: `there is nothing at ${url.pathname}` };
    }
    const foreign = foreignSource(request, guard);
    if (foreign !== undefined) return { status: 403, reason: foreign };
    if (token !== undefined) {
      const bearer = /^Bearer +(\S+)$/i.exec(request.header("authorization") ?? "")?.[1];
      const shown = bearer ?? url.searchParams.get("token") ?? "";
      if (!equalInConstantTime(shown, token)) return { status: 401, reason: "the token is wrong" };
    }

    const [name, run] = [given(fieldNames.client), given(fieldNames.run)];
    const fields: Field[] = [];
    let client: NamedClient | undefined;
    if (name !== undefined || run !== undefined) {
      if (!isClientName(name ?? "") || !isClientName(run ?? "")) {
        return { status: 400, reason: "name and run must be 8 to 64 of A-Z a-z 0-9 . _ ~ -" };
      }
      client = { name: name!, run: run! };
      fields.push([fieldNames.mailbox, String(waiting(client))]);
    }
    const nonce = given(fieldNames.nonce);
    if (token !== undefined && nonce !== undefined) {
      fields.push([fieldNames.proof, serverProof(token, nonce)]);
    }
    return { status: 200, client, fields };
  };
}

/** Why it may not come from there; `undefined` where it may. */
function foreignSource(
  { origin, authority }: AccessRequest,
  guard: AccessOptions["guard"],
): string | undefined {
  // Only the 2022 draft's programs send no authority; a browser always does.
  if (authority === "") return undefined;
  if (!guard.isKnownHost(authority)) {
    return `this server is not known by the name ${authority} (see --allowed-host)`;
  }
  if (guard.source({ host: authority, scheme: "https:", origin }) !== "foreign") return undefined;
  return `pages of ${origin} may not connect (see --allowed-origin)`;
}
