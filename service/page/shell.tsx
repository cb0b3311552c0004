/**
 * The frame of every page: brand, views, the connection's state, pause, theme, keys.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type Signal, useSignal } from "@preact/signals";
import { announcement } from "./announce.ts";
import { keepFocus } from "./focus_keeper.ts";
import { formatCount, formatDuration } from "./format.ts";
import { Icon } from "./icon.tsx";
import { type Shortcut, shortcuts, useShortcuts } from "./keys.ts";
import type { StreamState } from "./live_stream.ts";
import { ProgramSwitch } from "./program_switch.tsx";
import { ThemeSwitch } from "./theme.tsx";

/** A view in the navigation. */
export interface NavItem {
  href: string;
  label: string;
  /** The view is shown now. */
  current: boolean;
}

/** Options of {@linkcode Shell}. */
export interface ShellProps {
  /** The program's name, as `Console`. */
  program: string;
  /** The views, in order. */
  nav: readonly NavItem[];
  /** Shown at the right: connection, pause. @default nothing */
  actions?: ComponentChildren;
  /** What every person at the page has to know now, above the view. @default nothing */
  notice?: ComponentChildren;
  /** The view. */
  children: ComponentChildren;
}

/**
 * See the module.
 *
 * @example
 * ```tsx
 * render(
 *   <Shell program="Console" nav={[{ label: "Traces", href: "/", current: true }]}>
 *     <TracesView />
 *   </Shell>,
 *   document.getElementById("page")!,
 * );
 * ```
 */
export function Shell({ program, nav, actions, notice, children }: ShellProps) {
  const keysShown = useSignal(false);
  const main = useRef<HTMLElement>(null);
  useShortcuts([
    {
      key: "?",
      label: "Show the keys",
      run: () => {
        keysShown.value = !keysShown.value;
      },
    },
  ]);
  useEffect(() => keepFocus(main.current!), []);
  return (
    <div class="shell">
      <a
        class="skip-link"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <ProgramSwitch mark={<Mark />} program={program} />
        <nav class="views" aria-label="Views">
          {nav.map((item) => (
            <a
              key={item.href}
              href={item.href}
              aria-current={item.current ? "page" : undefined}
              data-label={item.label}
            >
              {item.label}
            </a>
          ))}
        </nav>
        <div class="top-actions">
          {actions}
          <ThemeSwitch />
          <button
            type="button"
            class="icon-button keys-button"
            title="Keys (?)"
            aria-label="Show the keys"
            onClick={() => keysShown.value = true}
          >
            <Icon name="keys" />
          </button>
        </div>
      </header>
      <div class="notice" role="alert">{notice}</div>
      <main id="main" tabIndex={-1} ref={main}>{children}</main>
      <div class="toast" role="status" aria-live="polite">
        {announcement.value !== "" && <span>{announcement.value}</span>}
      </div>
      {keysShown.value && <KeyHelp shown={keysShown} />}
    </div>
  );
}

/** Three bodies on their circles. */
function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <circle class="mark-orbit" cx="16" cy="16" r="13.5" />
      <circle class="mark-orbit" cx="16" cy="16" r="8" />
      <circle class="mark-sun" cx="16" cy="16" r="3.5" />
      <circle class="service-3" cx="25.5" cy="6.5" r="2.8" />
      <circle class="service-2" cx="9" cy="19.9" r="2.2" />
    </svg>
  );
}

const keyNames: Readonly<Record<string, string>> = { Escape: "Esc" };

function KeyHelp({ shown }: { shown: Signal<boolean> }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  const unique = new Map<string, Shortcut>();
  for (const one of shortcuts.value) if (!unique.has(one.key)) unique.set(one.key, one);
  const close = () => shown.value = false;
  return (
    <dialog
      ref={box}
      class="dialog"
      aria-labelledby="keys-title"
      onClose={close}
      onClick={(event) => event.target === event.currentTarget && close()}
    >
      <div class="dialog-head">
        <h2 id="keys-title">Keys</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <dl class="keys">
        {[...unique.values()].map(({ key, label }) => (
          <div key={key}>
            <dt>
              <kbd>{keyNames[key] ?? key}</kbd>
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>↑</kbd> <kbd>↓</kbd>
          </dt>
          <dd>Move within a list; Enter opens</dd>
        </div>
        {!unique.has("Escape") && (
          <div>
            <dt>
              <kbd>Esc</kbd>
            </dt>
            <dd>Close what is open</dd>
          </div>
        )}
      </dl>
    </dialog>
  );
}

/** Live, reconnecting with the attempt, or paused: always in sight. */
export function ConnectionPill(
  { state, paused, onRetry }: {
    state: StreamState;
    paused: boolean;
    /** Tries at once. */
    onRetry: () => void;
  },
) {
  if (state.kind === "reconnecting") {
    const wait = formatDuration(
      Math.max(0, Math.round((state.retryAtMs - Date.now()) / 100) * 100),
    );
    return (
      <button
        type="button"
        class="pill pill-broken"
        title={`The program does not answer. Next try ${wait} after the last. Click to try now.`}
        onClick={onRetry}
      >
        <span class="pill-dot" />
        <span role="status">Reconnecting (attempt {state.attempt})</span>
      </button>
    );
  }
  if (state.kind === "silent") return <Silence sinceMs={state.sinceMs} />;
  const word = state.kind === "connecting" ? "Connecting" : paused ? "Paused" : "Live";
  return (
    <span class={`pill pill-${word.toLowerCase()}`} role="status">
      <span class="pill-dot" />
      {word}
    </span>
  );
}

/** How long nothing has come, counted on; said once. */
function Silence({ sinceMs }: { sinceMs: number }) {
  const nowMs = useSignal(Date.now());
  useEffect(() => {
    document.documentElement.classList.add("stale");
    const timer = setInterval(() => nowMs.value = Date.now(), 1_000);
    return () => {
      document.documentElement.classList.remove("stale");
      clearInterval(timer);
    };
  }, []);
  const seconds = Math.max(1, Math.round((nowMs.value - sinceMs) / 1e3));
  return (
    <span class="pill pill-silent" title="The program is connected, but says nothing">
      <span class="pill-dot" />
      <span class="hidden-text" role="status">No data</span>
      <span aria-hidden="true">No data for {seconds} s</span>
    </span>
  );
}

/** Pauses and goes on. */
export function PauseButton({ paused, onToggle }: { paused: boolean; onToggle: () => void }) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-pressed={paused}
      aria-label="Pause"
      title={paused ? "Go on (p)" : "Pause (p)"}
      onClick={onToggle}
    >
      <Icon name={paused ? "play" : "pause"} />
    </button>
  );
}

/** What came while nothing was to move. */
export function NewPill({ count, onShow }: { count: number; onShow: () => void }) {
  return (
    <div class="new-pill-place">
      {/* Said once: a count that grows would never stop speaking. */}
      <span class="hidden-text" role="status">{count > 0 ? "New rows wait" : ""}</span>
      {count > 0 && (
        <button type="button" class="new-pill" onClick={onShow}>
          <Icon name="up" />
          {formatCount(count)} new
        </button>
      )}
    </div>
  );
}
