/**
 * Beside the topology: the event at the position, the invariants in words, the figures.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { formatCount } from "../../service/page/format.ts";
import { setParams } from "../../service/page/url_state.ts";
import type { Counters } from "../simulation/engine.ts";
import { type Check, checksAt } from "./checks.ts";
import { isPlaying } from "./play.ts";
import { current, entryPlace, view } from "./page_state.ts";
import { step } from "./position.ts";
import { entryWords, isTrouble, partWords, secondsWords } from "./words.ts";

/** The event at the position, in a sentence, and what it is about. */
export function EventPanel({ children }: { children?: ComponentChildren }) {
  const run = current.value;
  const entry = run?.info.entries[entryPlace.value];
  return (
    <section class="event-panel" aria-label="The event">
      {entry === undefined
        ? <p class="event-words">Nothing has happened yet. Step, or play.</p>
        : (
          <>
            <p
              class={isTrouble(entry) || entry.kind === "VIOLATION"
                ? "event-words error-text"
                : "event-words"}
              aria-live={isPlaying.value ? "off" : "polite"}
            >
              {entryWords(entry)}
            </p>
            <p class="quiet event-meta">
              {secondsWords(entry.atUs / 1_000)} · {partWords(entry.part)} · {entry.kind}
              {entry.detail !== "" && entry.kind !== "VIOLATION" && ` · ${entry.detail}`}
            </p>
          </>
        )}
      <div class="event-actions">
        <button type="button" class="button" onClick={() => step("event", 1)}>Step →</button>
        {children}
      </div>
    </section>
  );
}

const figures: readonly (readonly [keyof Counters, string, "bad"?])[] = [
  ["sent", "sent"],
  ["applied", "applied"],
  ["retried", "retried"],
  ["duplicatesDropped", "duplicates dropped"],
  ["deadLettered", "dead-lettered", "bad"],
  ["inFlight", "in flight"],
  ["lost", "lost", "bad"],
];

/** The figures of the instant. */
export function Figures({ counters }: { counters: Counters | undefined }) {
  return (
    <dl class="run-figures" aria-label="Figures">
      {figures.map(([name, label, tone]) => (
        <div key={name} class={tone === "bad" && (counters?.[name] ?? 0) > 0 ? "figure-bad" : ""}>
          <dt>{label}</dt>
          <dd>{counters === undefined ? "–" : formatCount(counters[name])}</dd>
        </div>
      ))}
    </dl>
  );
}

const stateWords: Readonly<Record<Check["state"], string>> = {
  holds: "holds",
  open: "so far",
  broken: "broken",
};

/** Every invariant in words at this instant: what is broken first. */
export function ChecksPanel() {
  const run = current.value;
  if (run === undefined || view.value === undefined) return null;
  const rank = { broken: 0, open: 1, holds: 2 };
  const checks = checksAt(run.info, view.value).sort((a, b) => rank[a.state] - rank[b.state]);
  return (
    <section class="checks" aria-label="Invariants at this instant">
      <h2>Invariants</h2>
      <ul>
        {checks.map(({ name, title, state, text }) => (
          <li key={name} class={`check-row check-${state}`}>
            <span class="check-state">{stateWords[state]}</span>
            <span>
              <b>{title}</b>
              <span class="check-text">{withLinks(text)}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A text in which orders are buttons that open their card. */
function withLinks(text: string): ComponentChildren[] {
  return text.split(/(\b(?:[Oo]rder|result) \d+|\b[or]\d+\b)/).map((piece, index) => {
    const [, number] = /^(?:[Oo]rder |result |[or])(\d+)$/.exec(piece) ?? [];
    if (number === undefined) return piece;
    const wanted = piece.startsWith("r") ? `r${number}` : `o${number}`;
    return (
      <button
        key={index}
        type="button"
        class="text-button"
        onClick={() => setParams({ message: wanted, part: undefined })}
      >
        {piece}
      </button>
    );
  });
}
