/**
 * The signer's page: a message in, its signature out, and whether it is right.
 *
 * @module
 */
import { type ComponentChildren, render } from "preact";
import { useRef } from "preact/hooks";
import { computed, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { CommandLine, ShortId } from "../../service/page/copy.tsx";
import { TraceId } from "../../service/page/program_switch.tsx";
import {
  formatCounted,
  formatDuration,
  formatTime,
  formatTimeWithZone,
} from "../../service/page/format.ts";
import { startShortcuts, useShortcuts } from "../../service/page/keys.ts";
import { ConnectionPill, Shell } from "../../service/page/shell.tsx";
import { Empty } from "../../service/page/states.tsx";
import { startTheme } from "../../service/page/theme.tsx";
import { address, href, startUrlState, wordParam } from "../../service/page/url_state.ts";
import { SignClient, type SignOutcome } from "./sign_client.ts";

/** A message and what became of it. */
interface Entry {
  readonly id: number;
  readonly message: string;
  readonly atMs: number;
  readonly tookMs?: number;
  readonly outcome?: SignOutcome;
  /** What `POST /verify` said, or that it is being asked. */
  readonly verdict?: "asking" | { good: boolean; words: string };
}

/** What the server says of itself. */
interface Info {
  authentication: boolean;
  maxMessageBytes: number;
}

const maxEntries = 500;
/** Of a longer message, so much is in the document. */
const shownCharacters = 1_000;
const entries = signal<readonly Entry[]>([]);
const info = signal<Info | undefined>(undefined);
const token = signal(sessionStorage.getItem("signer-token") ?? "");
const shown = computed(() => wordParam(address.value.params, "show", ["all", "errors"]));
const visible = computed(() =>
  shown.value === "all"
    ? entries.value
    : entries.value.filter(({ outcome }) => outcome && "error" in outcome)
);
let lastId = 0;

const client = new SignClient({
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

async function send(message: string): Promise<void> {
  const id = ++lastId;
  const began = performance.now();
  const entry: Entry = { id, message, atMs: Date.now() };
  entries.value = [entry, ...entries.peek()].slice(0, maxEntries);
  const outcome = await client.sign(message);
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

async function verify({ id, message, outcome }: Entry): Promise<void> {
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

async function loadInfo(): Promise<void> {
  try {
    const response = await fetch("/sign/info");
    if (response.ok) info.value = await response.json();
  } catch {
    // The connection's state tells that the server is away; it is asked again with the page.
  }
}

function SignerPage() {
  const state = client.state.value;
  return (
    <Shell
      program="Signer"
      nav={[
        { href: "/sign", label: "Sign", current: true },
      ]}
      notice={state.kind === "reconnecting" && state.attempt > 1 && (
        info.value?.authentication
          ? <>The signer does not answer, or refuses the token. The page tries again by itself.</>
          : (
            <>
              The signer does not answer. The page tries again by itself. If it was stopped, start
              it: <code>deno task signer:api</code>
            </>
          )
      )}
      actions={<ConnectionPill state={state} paused={false} onRetry={() => client.start()} />}
    >
      <div class="sign-view">
        <SignForm />
        <Answers />
      </div>
    </Shell>
  );
}

function SignForm() {
  const field = useRef<HTMLInputElement>(null);
  const live = client.state.value.kind === "live";
  useShortcuts([
    { key: "/", label: "Write a message", run: () => field.current?.focus() },
    {
      key: "Escape",
      label: "Leave the field",
      run() {
        // Elsewhere the key is others', such as a dialog's.
        if (document.activeElement !== field.current) return false;
        field.current?.blur();
      },
    },
  ]);
  return (
    <div class="sign-head">
      <h1 class="hidden-text">Sign messages</h1>
      {info.value?.authentication && <TokenField />}
      <form
        class="sign-form"
        onSubmit={(event) => {
          event.preventDefault();
          const input = field.current!;
          send(input.value);
          input.value = "";
          input.focus();
        }}
      >
        <label for="message">Message to sign</label>
        <input
          id="message"
          ref={field}
          type="text"
          autoComplete="off"
          spellcheck={false}
          placeholder="Any text"
        />
        <button type="submit" class="button send" disabled={!live}>Send</button>
      </form>
    </div>
  );
}

function TokenField() {
  return (
    <form
      class="sign-form"
      onSubmit={(event) => {
        event.preventDefault();
        sessionStorage.setItem("signer-token", token.peek());
        client.start();
      }}
    >
      <label for="token">Bearer token</label>
      <input
        id="token"
        type="password"
        autoComplete="off"
        value={token.value}
        onInput={(event) => token.value = event.currentTarget.value.trim()}
      />
      <button type="submit" class="button">Use it</button>
    </form>
  );
}

function Answers() {
  if (entries.value.length === 0) {
    return (
      <Empty title="Nothing signed yet">
        <p>
          Write a message above and send it: its signature appears here, with the key that made it.
          The same from a shell:
        </p>
        <CommandLine
          text={`curl -X POST ${location.origin}/sign -d '{"message":"hello"}'`}
        />
      </Empty>
    );
  }
  const errors = entries.value.filter(({ outcome }) => outcome && "error" in outcome).length;
  return (
    <section aria-label="Answers">
      <div class="answers-head">
        <h2>Answers</h2>
        <span class="quiet">
          {formatCounted(entries.value.length, "message")}, {formatCounted(errors, "error")}
        </span>
        <nav class="choices" aria-label="Which answers">
          <Choice word="all" label="All" />
          <Choice word="errors" label="Errors" />
        </nav>
      </div>
      {visible.value.length === 0
        ? (
          <Empty title="No errors">
            <p>Every message has its signature.</p>
          </Empty>
        )
        : (
          <ol class="answers" aria-live="polite" aria-relevant="additions">
            {visible.value.map((entry) => <Answer key={entry.id} entry={entry} />)}
          </ol>
        )}
    </section>
  );
}

function Choice({ word, label }: { word: "all" | "errors"; label: string }) {
  const { path, params } = address.value;
  return (
    <a
      class="button"
      href={href(path, params, { show: word === "all" ? undefined : word })}
      aria-current={shown.value === word ? "true" : undefined}
    >
      {label}
    </a>
  );
}

function Answer({ entry }: { entry: Entry }) {
  const { message, outcome, atMs, tookMs } = entry;
  const failed = outcome !== undefined && "error" in outcome;
  return (
    <li class={failed ? "answer answer-failed" : "answer"}>
      <div class="answer-line">
        <span class="answer-message">
          {message === "" ? <i class="quiet">empty message</i> : message.slice(0, shownCharacters)}
        </span>
        <span class="quiet answer-time" title={formatTimeWithZone(atMs)}>
          {formatTime(atMs)}
          {tookMs !== undefined && ` · ${formatDuration(tookMs)}`}
        </span>
      </div>
      {outcome === undefined && <p class="quiet">Waiting for the signature …</p>}
      {outcome !== undefined && ("error" in outcome
        ? <Failed entry={entry} error={outcome.error} />
        : <Signed entry={entry} ok={outcome.ok} />)}
    </li>
  );
}

function Failed(
  { entry, error }: { entry: Entry; error: { type: string; title: string; detail: string } },
) {
  return (
    <div class="answer-facts">
      <p class="error-text">
        <b>Error: {error.title}.</b> {error.detail}
      </p>
      {error.type !== "too-large" && error.type !== "invalid" && (
        <button
          type="button"
          class="button"
          onClick={() => send(entry.message)}
        >
          Send again
        </button>
      )}
      <TraceOf outcome={entry.outcome} />
    </div>
  );
}

function Signed(
  { entry, ok }: {
    entry: Entry;
    ok: { signature: string; algorithm: string; keyId: string | null };
  },
) {
  const { verdict } = entry;
  return (
    <div class="answer-facts">
      <Fact label="Signature">
        <ShortId id={ok.signature} what="the signature" />
      </Fact>
      <Fact label="Key">
        {ok.keyId === null
          ? <span class="quiet">none</span>
          : <ShortId id={ok.keyId} what="the key's id" />}
      </Fact>
      <Fact label="Algorithm">
        <span>{ok.algorithm}</span>
      </Fact>
      <TraceOf outcome={entry.outcome} />
      <span class="answer-verdict" role="status">
        {verdict === undefined || verdict === "asking"
          ? (
            <button
              type="button"
              class="button"
              aria-disabled={verdict === "asking"}
              onClick={() => verdict === undefined && verify(entry)}
            >
              {verdict === "asking" ? "Verifying …" : "Verify"}
            </button>
          )
          : (
            <b class={verdict.good ? "verdict-good" : "error-text"}>
              {verdict.good ? "✓" : "✗"} {verdict.words}
            </b>
          )}
      </span>
    </div>
  );
}

function TraceOf({ outcome }: { outcome: SignOutcome | undefined }) {
  if (!outcome?.traceId) return null;
  return (
    <Fact label="Trace">
      <TraceId id={outcome.traceId} />
    </Fact>
  );
}

function Fact({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <span class="fact">
      <span class="quiet">{label}</span> {children}
    </span>
  );
}

startUrlState(["/sign"]);
startTheme();
startShortcuts();
loadInfo();
client.start();
render(<SignerPage />, document.getElementById("page")!);
