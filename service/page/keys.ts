/**
 * Keys that work anywhere on a page, and the list of them that `?` shows.
 *
 * @module
 */
import { useLayoutEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";

/** A key and what it does. */
export interface Shortcut {
  /** `KeyboardEvent.key`, as `/`, `?`, `Escape`, `j`. */
  key: string;
  /** What it does, for the list. */
  label: string;
  /** Does it. `false` leaves the key to others. */
  run: () => void | false;
}

const registered = signal<readonly Shortcut[]>([]);

/** All keys that do something now, the latest first. */
export { registered as shortcuts };

/**
 * Keys of a component, for as long as it is shown. The latest one wins.
 *
 * @example
 * ```ts
 * useShortcuts([{ key: "p", label: "Pause", run: togglePause }]);
 * ```
 */
export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const current = useRef(shortcuts);
  current.current = shortcuts;
  // With the commit, not after the next paint: what can be seen has its keys already.
  useLayoutEffect(() => {
    // The closures of a later render are found through the reference.
    const mine = shortcuts.map(({ key, label }): Shortcut => ({
      key,
      label,
      run: () => current.current.find((one) => one.key === key)?.run(),
    }));
    registered.value = [...mine, ...registered.peek()];
    return () => {
      registered.value = registered.peek().filter((one) => !mine.includes(one));
    };
  }, []);
}

/** Listens. Keys typed into a field are its own, but for Escape. */
export function startShortcuts(): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Escape" && isTyping(event.target)) return;
    for (const shortcut of registered.peek()) {
      if (shortcut.key !== event.key || shortcut.run() === false) continue;
      event.preventDefault();
      return;
    }
  });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement &&
    (target.matches("textarea, select, [contenteditable]") ||
      target instanceof HTMLInputElement && !["checkbox", "radio", "button"].includes(target.type));
}
