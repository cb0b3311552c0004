/**
 * The few icons of the pages: strokes in the text's colour, no meaning of their own.
 *
 * @module
 */

const paths = {
  copy: "M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z",
  pause: "M5 3v10M11 3v10",
  play: "M4.5 2.5v11l8.5-5.5z",
  up: "M8 13V3.5m-4 4l4-4 4 4",
  down: "M4 6l4 4.500L12 6",
  left: "M10 3L5 8l5 5",
  right: "M6 3l5 5-5 5",
  close: "M3.5 3.5l9 9m0-9l-9 9",
  search: "M11 7a4 4 0 1 1-8 0a4 4 0 0 1 8 0m-1.2 2.8L14 14",
  sun:
    "M11 8a3 3 0 1 1-6 0a3 3 0 0 1 6 0M8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1m8 8l1 1m0-10l-1 1m-8 8l-1 1",
  moon: "M13.500 10A6 6 0 0 1 6 2.500a6 6 0 1 0 7.500 7.500z",
  system: "M2 3h12v8H2zM6 14h4M8 11v3",
  keys: "M1.500 4.500h13v7h-13zM4 7h.1M6.600 7h.1M9.200 7h.1M11.800 7h.1M5 9.500h6",
  link:
    "M6.500 9.500l3-3M7 4.500l1.500-1.500a2.800 2.800 0 0 1 4 4L11 8.500M9 11.500L7.500 13a2.800 2.800 0 0 1-4-4L5 7.500",
  trash: "M2.500 4.500h11M6.500 4V2.500h3V4M4 4.500l.7 9h6.600l.7-9",
  logs: "M3 4h10M3 8h10M3 12h6",
} as const;

/** Name of an icon. */
export type IconName = keyof typeof paths;

/**
 * An icon; what it means must be said beside it or by `aria-label`.
 *
 * @example
 * ```tsx
 * <button type="button" aria-label="Copy">
 *   <Icon name="copy" />
 * </button>
 * ```
 */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
