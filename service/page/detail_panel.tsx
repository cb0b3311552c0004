/**
 * What is known of one thing in a list: beside it where there is room, over it where there is not.
 * Escape closes it.
 *
 * @module
 */
import type { ComponentChildren } from "preact";
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
  useShortcuts([{ key: "Escape", label: "Close what is open", run: onClose }]);
  return (
    <aside class="detail" aria-label={label}>
      <div class="detail-head">
        <div class="detail-title">{title}</div>
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
