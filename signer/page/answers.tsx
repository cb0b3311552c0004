/**
 * The messages that were sent, each with its signature, its error, or how long it has waited.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { CommandLine, ShortId } from "../../service/page/copy.tsx";
import {
  formatCount,
  formatCounted,
  formatDuration,
  formatTime,
  formatTimeWithZone,
} from "../../service/page/format.ts";
import { TraceId } from "../../service/page/program_switch.tsx";
import { Empty } from "../../service/page/states.tsx";
import { UnderWay } from "../../service/page/under_way.tsx";
import { address, href } from "../../service/page/url_state.ts";
import {
  entries,
  type Entry,
  send,
  shown,
  shownCharacters,
  verify,
  visible,
  waiting,
} from "./entries.ts";
import type { SignOutcome } from "./sign_client.ts";

/** See the module. */
export function Answers() {
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
          {waiting.value > 0 && `, ${formatCount(waiting.value)} waiting`}
        </span>
        <nav class="choices" aria-label="Which answers">
          <Choice word="all" label="All" />
          <Choice word="errors" label="Errors" />
        </nav>
      </div>
      {visible.value.length === 0
        ? (
          <Empty title="No errors">
            <p>
              {waiting.value === 0
                ? "Every message has its signature."
                : `${formatCounted(waiting.value, "message")} still without an answer.`}
            </p>
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
  const item = useRef<HTMLLIElement>(null);
  const byPerson = failed && outcome.error.type === "cancelled";
  useEffect(() => {
    // The button that was pressed is gone; what can be done next stands in its place.
    if (byPerson) item.current?.querySelector<HTMLElement>("button")?.focus();
  }, [byPerson]);
  return (
    <li ref={item} class={failed ? "answer answer-failed" : "answer"}>
      <div class="answer-line">
        <span class="answer-message">
          {message === "" ? <i class="quiet">empty message</i> : message.slice(0, shownCharacters)}
        </span>
        <span class="quiet answer-time" title={formatTimeWithZone(atMs)}>
          {formatTime(atMs)}
          {tookMs !== undefined && ` · ${formatDuration(tookMs)}`}
        </span>
      </div>
      {outcome === undefined && <Waiting entry={entry} />}
      {outcome !== undefined && ("error" in outcome
        ? <Failed entry={entry} error={outcome.error} />
        : <Signed entry={entry} ok={outcome.ok} />)}
    </li>
  );
}

/** How long it has been waited for, at most for how long, and a way to stop. */
function Waiting({ entry: { atMs, timeoutMs, cancel, message } }: { entry: Entry }) {
  return (
    <UnderWay
      what="Waiting for the signature"
      cancelled={message.slice(0, 40) || "empty message"}
      request={{ sinceMs: atMs, timeoutMs, cancel }}
    />
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
