/**
 * When something was, in a column: the time of day, with the date above it when that is not today's.
 *
 * @module
 */
import { formatMoment, formatTimeWithZone } from "../../service/page/format.ts";

/** See the module. */
export function Moment({ atMs }: { atMs: number }) {
  const text = formatMoment(atMs, Date.now());
  const split = text.lastIndexOf(" ");
  return (
    <time class={split < 0 ? "quiet" : "quiet dated"} title={formatTimeWithZone(atMs)}>
      {text}
    </time>
  );
}
