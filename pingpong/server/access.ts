/**
 * Who may have a session: the token both sides must know, the web pages that may connect, and
 * the name a client goes by. All of it is looked at before any data.
 *
 * The client sends the token as a bearer token (RFC 6750) to a server whose certificate it has
 * verified; the server proves that it knows the token by an HMAC over the client's nonce. So each
 * side has authenticated the other. A page cannot send header fields: it gives the token, like its
 * name, in the URL's query.
 *
 * @module
 */
import { fieldNames, isClientName, type NamedClient } from "../protocol/session_terms.ts";
import { isLoopback } from "../../service/http_server.ts";
import { equalInConstantTime, serverProof } from "../protocol/token.ts";
import type { Field } from "../http3/mod.ts";

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

/** Options of {@linkcode accessRule}. */
export interface AccessOptions {
  /** What a client must know. @default nothing */
  token?: string;
  /** Origins of pages that may connect, beside the server's own. @default none */
  origins?: readonly string[];
  /** Paths that sessions are had at. @default any */
  paths?: readonly string[];
  /** How many answers wait for a client: told to it. */
  waiting: (client: NamedClient | undefined) => number;
}

/** Makes the rule that decides about every request for a session. */
export function accessRule(options: AccessOptions): (request: AccessRequest) => Access {
  const { token, origins = [], paths, waiting } = options;

  return function decideAccess(request) {
    const url = new URL(request.path, "https://any");
    const given = (name: string) => request.header(name) ?? url.searchParams.get(name) ?? undefined;

    if (paths && !paths.includes(url.pathname)) {
      return { status: 404, reason: `there is nothing at ${url.pathname}` };
    }
    if (request.origin !== undefined && !isOwnOrigin(request.origin, request.authority)) {
      if (!origins.includes(request.origin)) {
        return { status: 403, reason: `pages of ${request.origin} may not connect` };
      }
    }
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

/**
 * A page of the host that is asked, on whichever port: the server's page is on another port than
 * its sessions. `localhost` and loopback addresses are one host.
 */
function isOwnOrigin(origin: string, authority: string): boolean {
  let page: URL;
  try {
    page = new URL(origin);
  } catch {
    return false;
  }
  // Only the 2022 draft's programs send no authority; a browser always does.
  if (authority === "") return true;
  const asked = new URL(`https://${authority}`).hostname;
  return page.hostname === asked || (isLoopback(page.hostname) && isLoopback(asked));
}
