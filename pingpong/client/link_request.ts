/**
 * What a link's request for a session says, and what must be in the answer.
 *
 * @module
 */
import { propagation } from "@opentelemetry/api";
import { isIP } from "node:net";
import { type Field, WebTransportError } from "../http3/mod.ts";
import { fieldNames } from "../protocol/session_terms.ts";
import { equalInConstantTime, serverProof } from "../protocol/token.ts";
import type { LinkOptions, Target } from "./link.ts";

/** The URL of a session. */
export function sessionUrl(scheme: string, target: Target, port: number): string {
  const host = bracketed(target.host);
  return `${scheme}://${host}:${port}${target.path ?? "/"}`;
}

/** The header fields of the request. */
export function requestFields({ token, client, context }: LinkOptions, nonce: string): Field[] {
  const carrier: Record<string, string> = {};
  if (context) propagation.inject(context, carrier);
  const fields: Field[] = Object.entries(carrier);
  if (client) fields.push([fieldNames.client, client.name], [fieldNames.run, client.run]);
  if (token !== undefined) {
    fields.push(["authorization", `Bearer ${token}`], [fieldNames.nonce, nonce]);
  }
  return fields;
}

/**
 * With a token the server must show that it knows it too, before any ping.
 *
 * @returns how many answers wait for this client; `undefined` where the server keeps none
 * @throws {WebTransportError} `refused`
 */
export function checkAnswer(
  { token }: LinkOptions,
  nonce: string,
  field: (name: string) => string | undefined,
): number | undefined {
  const proof = field(fieldNames.proof) ?? "";
  if (token !== undefined && !equalInConstantTime(proof, serverProof(token, nonce))) {
    throw new WebTransportError("refused", "The server did not prove that it knows the token", {
      status: 401,
    });
  }
  const waiting = field(fieldNames.mailbox);
  return waiting !== undefined && /^\d{1,9}$/.test(waiting) ? Number(waiting) : undefined;
}

/** A host as it stands before a port: IPv6 addresses in brackets (RFC 3986, section 3.2.2). */
export function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
