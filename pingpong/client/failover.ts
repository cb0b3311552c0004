/**
 * Which server and which transport the next link goes to.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import { WebTransportError, type WebTransportErrorKind } from "../http3/mod.ts";
import type { Mode } from "../protocol/session_terms.ts";
import type { Link, Target } from "./link.ts";

/** Opens a link to a server in a mode. */
export type OpenTo = (target: Target, mode: Mode, context: Context) => Promise<Link>;

/** Which transport was taken, and why not the better one. */
export interface TransportChoice {
  /** How pings travel. */
  mode: Mode;
  /** Why WebTransport was not to be had; `undefined` where it was. */
  reason: string | undefined;
}

/** Nothing comes through. A refusal is an answer, and WebSocket's would be the same. */
const blockedKinds: readonly WebTransportErrorKind[] = ["timeout", "unsupported", "closed"];

/**
 * Opens links to the best server, after a failure to the next. With `auto` each server is tried
 * over WebTransport and then, where UDP does not get through, over WebSocket.
 *
 * @example
 * ```ts
 * const open = linkOpener(targets, "auto", (target, mode) => openLink({ target, mode, trust }));
 * const link = await open(ROOT_CONTEXT);
 * ```
 */
export function linkOpener(
  targets: readonly Target[],
  mode: Mode | "auto",
  open: OpenTo,
  onChosen: (choice: TransportChoice) => void = () => {},
): (context: Context) => Promise<Link> {
  const openTo = mode === "auto"
    ? (target: Target, context: Context) => openAuto(target, context, open, onChosen)
    : (target: Target, context: Context) => open(target, mode, context);
  let turn = 0;
  return async function openNextLink(context) {
    const target = targets[turn % targets.length]!;
    try {
      return await openTo(target, context);
    } catch (error) {
      turn++;
      // A server that will not have us is no reason to give up while there are others.
      if (targets.length > 1 && error instanceof WebTransportError && turn < targets.length) {
        throw new WebTransportError("closed", error.message, { cause: error });
      }
      throw error;
    }
  };
}

async function openAuto(
  target: Target,
  context: Context,
  open: OpenTo,
  onChosen: (choice: TransportChoice) => void,
): Promise<Link> {
  let reason: string;
  try {
    const link = await open(target, "bidi", context);
    onChosen({ mode: "bidi", reason: undefined });
    return link;
  } catch (error) {
    if (!(error instanceof WebTransportError) || !blockedKinds.includes(error.kind)) throw error;
    reason = error.message;
  }
  const link = await open(target, "websocket", context);
  onChosen({ mode: "websocket", reason });
  return link;
}
