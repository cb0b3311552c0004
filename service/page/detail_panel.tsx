/**
 * What is known of one thing in a list: beside it where there is room, over it where there is not.
 * Escape closes it.
 *
 * @module
 */
import type { ComponentChildren, RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icon.tsx";
import { useShortcuts } from "./keys.ts";
import { WithBreaks } from "./with_breaks.tsx";

/** See the module. */
export function DetailPanel(
  { label, title, actions, onClose, children }: {
    /** Names the panel to a screen reader. */
    label: string;
    title: ComponentChildren;
    actions?: ComponentChildren;
    onClose: () => void;
    children: ComponentChildren;
  },
) {
  const heading = useRef<HTMLDivElement>(null);
  useFocusOnOpening(heading);
  useShortcuts([{ key: "Escape", label: "Close what is open", run: onClose }]);
  return (
    <aside class="detail" aria-label={label}>
      <div class="detail-head">
        <div class="detail-title" tabIndex={-1} ref={heading}>{title}</div>
        {actions}
        <button
          type="button"
          class="icon-button"
          aria-label="Close"
          title="Close (Esc)"
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </div>
      <div class="detail-body" tabIndex={0}>{children}</div>
    </aside>
  );
}

/** What the panel that has just closed would give the focus back to: one that takes its place does instead. */
let closing: { opener: HTMLElement; timer: ReturnType<typeof setTimeout> } | undefined;

/**
 * Who opened it goes on in it, and is back where it was opened once it is closed. A page that begins
 * with it open leaves the focus where a page begins; one that takes another's place, as when arrows go
 * through a list beside it, leaves it where it is.
 */
function useFocusOnOpening(heading: RefObject<HTMLElement | null>): void {
  useLayoutEffect(() => {
    const active = document.activeElement;
    const focused = active instanceof HTMLElement && active !== document.body ? active : undefined;
    const panel = heading.current!.closest(".detail")!;
    let opener = focused;
    if (closing !== undefined) {
      clearTimeout(closing.timer);
      if (focused === undefined) {
        opener = closing.opener;
        heading.current!.focus({ preventScroll: true });
      }
      closing = undefined;
    } else if (focused !== undefined) heading.current!.focus({ preventScroll: true });
    return () => {
      // Who has gone elsewhere meanwhile stays there.
      const now = document.activeElement;
      const isInside = panel.contains(now);
      const back = opener ?? document.querySelector<HTMLElement>("main");
      if (back === null) return;
      const timer = setTimeout(() => {
        closing = undefined;
        if (!isInside && now !== document.body) return;
        // What opened it may be gone by now.
        if (back.isConnected) back.focus({ preventScroll: true });
      });
      closing = { opener: back, timer };
    };
  }, []);
}

/**
 * Keys and values, as text.
 *
 * @example
 * ```tsx
 * <Facts facts={[["Service", "orb-server"], ["Spans", "12"]]} />
 * ```
 */
export function Facts({ facts }: { facts: readonly (readonly [key: string, value: string])[] }) {
  return (
    <dl class="facts">
      {facts.map(([key, value], i) => (
        <div key={`${key} ${i}`}>
          <dt>
            <WithBreaks name={key} />
          </dt>
          <dd>{value === "" ? <span class="quiet">(empty)</span> : value}</dd>
        </div>
      ))}
    </dl>
  );
}
