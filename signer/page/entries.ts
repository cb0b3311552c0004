/**
 * What was sent from this page and what became of it.
 *
 * @module
 */
import { computed, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { address, wordParam } from "../../service/page/url_state.ts";
import { SignClient, type SignOutcome } from "./sign_client.ts";

/** A message and what became of it. */
export interface Entry {
  readonly id: number;
  readonly message: string;
  readonly atMs: number;
  readonly tookMs?: number;
  readonly outcome?: SignOutcome;
  /** Stops waiting for it. */
  readonly cancel: AbortController;
  /** The longest wait for it, in milliseconds; undefined if the server has not said. */
  readonly timeoutMs: number | undefined;
  /** What `POST /verify` said, or that it is being asked. */
  readonly verdict?: "asking" | { good: boolean; words: string };
}

/** What the server says of itself. */
interface Info {
  authentication: boolean;
  maxMessageBytes: number;
  timeoutMs: number;
}

const maxEntries = 500;
/** The server ends a message at its own time limit; its answer takes a moment to come. */
const answerGraceMs = 1_000;
/** Of a longer message, so much is in the document. */
export const shownCharacters = 1_000;
/** All, newest first. */
export const entries = signal<readonly Entry[]>([]);
/** What the server says of itself; undefined until it has. */
export const info = signal<Info | undefined>(undefined);
/** The bearer token; empty for none. */
export const token = signal(sessionStorage.getItem("signer-token") ?? "");
/** Which of them are to be shown. */
export const shown = computed(() => wordParam(address.value.params, "show", ["all", "errors"]));
/** How many have no outcome yet. */
export const waiting = computed(() =>
  entries.value.filter(({ outcome }) => outcome === undefined).length
);
/** Those that are to be shown. */
export const visible = computed(() =>
  shown.value === "all"
    ? entries.value
    : entries.value.filter(({ outcome }) => outcome && "error" in outcome)
);
let lastId = 0;

/** The connection. */
export const client = new SignClient({
  open() {
    const url = new URL("/sign/ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const protocols = ["orrery.signer.v1+json"];
    // A browser sets no header on a WebSocket: the token goes as a second protocol.
    if (token.peek() !== "") protocols.push(`bearer.${token.peek()}`);
    return new WebSocket(url, protocols);
  },
});

function update(id: number, change: Partial<Entry>): void {
  entries.value = entries.peek().map((entry) => entry.id === id ? { ...entry, ...change } : entry);
}

/** Sends a message. */
export async function send(message: string): Promise<void> {
  const id = ++lastId;
  const began = performance.now();
  const serverMs = info.peek()?.timeoutMs;
  const timeoutMs = serverMs === undefined ? undefined : serverMs + answerGraceMs;
  const cancel = new AbortController();
  const entry: Entry = { id, message, atMs: Date.now(), cancel, timeoutMs };
  entries.value = [entry, ...entries.peek()].slice(0, maxEntries);
  const outcome = await client.sign(message, { cancelled: cancel.signal, timeoutMs });
  const tooLarge = "error" in outcome && outcome.error.type === "too-large";
  update(id, {
    outcome,
    tookMs: performance.now() - began,
    // Of what can neither be verified nor sent again, its beginning is enough.
    ...(tooLarge && { message: message.slice(0, shownCharacters) }),
  });
  announce("ok" in outcome ? "Signed" : `Error: ${outcome.error.title}`, 1_500);
}

const reasons: Readonly<Record<string, string>> = {
  "bad-signature": "does not fit",
  "unknown-key": "key unknown",
  "retired-key": "key retired",
  "revoked-key": "key revoked",
};

/** Asks whether a signature fits. */
export async function verify({ id, message, outcome }: Entry): Promise<void> {
  if (!outcome || !("ok" in outcome)) return;
  const { signature, keyId } = outcome.ok;
  update(id, { verdict: "asking" });
  const verdict = await askVerdict({ message, signature, keyId });
  update(id, { verdict });
  announce(`Signature: ${verdict.words}`, 1_500);
}

async function askVerdict(body: unknown): Promise<{ good: boolean; words: string }> {
  try {
    const response = await fetch("/verify", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token.peek() !== "" && { authorization: `Bearer ${token.peek()}` }),
      },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) return { good: false, words: answer.title };
    if (answer.valid) {
      return {
        good: true,
        words: answer.keyState === "verify-only" ? "valid, older key" : "valid",
      };
    }
    return { good: false, words: reasons[answer.reason] ?? answer.reason };
  } catch {
    return { good: false, words: "not checked: the server does not answer" };
  }
}

/** Asks the server for {@linkcode info}. */
export async function loadInfo(): Promise<void> {
  try {
    const response = await fetch("/sign/info");
    if (response.ok) info.value = await response.json();
  } catch {
    // The connection's state tells that the server is away; it is asked again with the next one.
  }
}
