/**
 * A group of links or buttons is one stop of Tab; arrows, Home and End move within it (the "roving
 * tabindex" of the ARIA Authoring Practices).
 *
 * @module
 */
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** What the group's element gets: spread over it. */
export interface Roving<Box extends HTMLElement> {
  ref: RefObject<Box | null>;
  onKeyDown: (event: KeyboardEvent) => void;
  onFocusIn: (event: FocusEvent) => void;
}

const items = "a[href], button:not(:disabled)";

/**
 * See the module. Tab comes to what had the focus last, before that to what is current or pressed,
 * else to the first.
 *
 * @example
 * ```tsx
 * const roving = useRoving<HTMLUListElement>();
 * return <ul {...roving}>{rows.map((row) => <li><a href={row.href}>{row.name}</a></li>)}</ul>;
 * ```
 */
export function useRoving<Box extends HTMLElement>(): Roving<Box> {
  const ref = useRef<Box>(null);
  const last = useRef<HTMLElement | undefined>(undefined);
  const all = () => [...ref.current?.querySelectorAll<HTMLElement>(items) ?? []];

  // With every render: items come and go.
  useLayoutEffect(() => {
    const list = all();
    const stop = list.find((item) => item === last.current) ??
      list.find((item) => item.matches('[aria-current], [aria-pressed="true"]')) ?? list[0];
    for (const item of list) item.tabIndex = item === stop ? 0 : -1;
  });

  return {
    ref,
    onFocusIn(event) {
      last.current = (event.target as HTMLElement).closest<HTMLElement>(items) ?? undefined;
      for (const item of all()) item.tabIndex = item === last.current ? 0 : -1;
    },
    onKeyDown(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      const list = all();
      const from = list.indexOf(document.activeElement as HTMLElement);
      const to = itemAfterKey(event.key, from, list.length);
      if (from < 0 || to === undefined) return;
      event.preventDefault();
      list[to]!.focus();
    },
  };
}

/** The item that a key leads to: not round at the ends; undefined for a key that is not the group's. */
export function itemAfterKey(key: string, from: number, count: number): number | undefined {
  switch (key) {
    case "ArrowDown":
    case "ArrowRight":
      return Math.min(count - 1, from + 1);
    case "ArrowUp":
    case "ArrowLeft":
      return Math.max(0, from - 1);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return undefined;
  }
}
