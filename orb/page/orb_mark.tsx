/**
 * How an orb's state looks: a colour and a shape, so that neither has to be seen.
 *
 * @module
 */
import type { DeviceState } from "../devices/device_state.ts";

/** What a state is called, and its shape on a field of 12 by 12. */
export const stateLooks: Readonly<Record<DeviceState, { word: string; path: string }>> = {
  ok: { word: "ok", path: "M10.500 6a4.500 4.500 0 1 1-9 0a4.500 4.500 0 0 1 9 0z" },
  signing: { word: "signing", path: "M2 1.500l9 4.500-9 4.500z" },
  duplicate: { word: "duplicate", path: "M1 1h7v2h-5v5h-2zM4 4h7v7h-7z" },
  error: { word: "error", path: "M6 .5l5.500 10.500h-11z" },
  silent: {
    word: "silent",
    path:
      "M2.500 1L6 4.500 9.500 1 11 2.500 7.500 6 11 9.500 9.500 11 6 7.500 2.500 11 1 9.500 4.500 6 1 2.500z",
  },
};

/** The mark of a state. */
export function OrbMark({ state, label = false }: {
  state: DeviceState;
  /** Says the state to a screen reader, where no word beside it does. @default false */
  label?: boolean;
}) {
  const { word, path } = stateLooks[state];
  return (
    <svg
      class={`orb-mark orb-${state}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      {...(label ? { role: "img", "aria-label": word } : { "aria-hidden": true })}
    >
      <path d={path} />
    </svg>
  );
}
