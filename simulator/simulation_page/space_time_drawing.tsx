/**
 * The drawing of the space-time diagram, in the pixels that it has: a dot stays round at any width.
 *
 * @module
 */
import { useLayoutEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { setParams } from "../../service/page/url_state.ts";
import { keyColor, type Keys } from "./message_key.ts";
import { isPlaying } from "./play.ts";
import { type Dot, type LaneName, laneOf, type SpaceTime } from "./space_time_model.ts";
import { entryPlace, message, part } from "./page_state.ts";
import { seekEntry } from "./position.ts";
import { entryWords, isTrouble } from "./words.ts";

const laneHeight = 24;

/** See the module. */
export function SpaceTimeDrawing({ diagram, lanes, columns, keys }: {
  diagram: SpaceTime;
  lanes: readonly LaneName[];
  columns: number;
  keys: Keys;
}) {
  const drawing = useRef<SVGSVGElement>(null);
  const width = useWidth(drawing);
  const height = lanes.length * laneHeight;
  const yOf = (lane: LaneName) => (lanes.indexOf(lane) + 0.5) * laneHeight;
  const at = ({ column, lane }: Dot) => ({ x: (column + 0.5) * width / columns, y: yOf(lane) });
  return (
    <svg ref={drawing} class="space-time-drawing" style={{ height: `${height}px` }} aria-hidden>
      {lanes.map((lane) => (
        <line
          key={lane}
          class={part.value !== undefined && laneOf(part.value) === lane
            ? "lane-line lane-selected"
            : "lane-line"}
          x1="0"
          x2={width}
          y1={yOf(lane)}
          y2={yOf(lane)}
        />
      ))}
      {diagram.lines.map(({ from, to }) => {
        const [a, b] = [at(from), at(to)];
        const subject = to.entry.subject || from.entry.subject || "o0";
        return (
          <line
            key={`${from.place} ${to.place}`}
            class={`cause-line key-${keyColor(subject, keys)}`}
            x1={a.x}
            y1={a.y}
            x2={b.x}
            y2={b.y}
          />
        );
      })}
      {diagram.dots.map((dot) => (
        <DotMark key={dot.place} dot={dot} {...at(dot)} keys={keys} reach={width / columns / 2} />
      ))}
    </svg>
  );
}

/** How wide an element is, in pixels, also once that changes. */
function useWidth(element: { readonly current: Element | null }): number {
  const width = useSignal(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => width.value = entry!.contentRect.width);
    observer.observe(element.current!);
    width.value = element.current!.getBoundingClientRect().width;
    return () => observer.disconnect();
  }, []);
  return width.value;
}

function DotMark(
  { dot, x, y, keys, reach }: { dot: Dot; x: number; y: number; keys: Keys; reach: number },
) {
  const { entry, place } = dot;
  const isHere = place === entryPlace.value;
  const isBad = isTrouble(entry) || entry.kind === "VIOLATION";
  const isMessage = /^[or]\d+$/.test(entry.subject);
  return (
    <g
      class={place > entryPlace.value ? "st-dot st-future" : "st-dot"}
      onClick={() => {
        isPlaying.value = false;
        seekEntry(place);
        if (isMessage && message.peek() !== undefined) setParams({ message: entry.subject });
      }}
    >
      <title>{entryWords(entry)}</title>
      <rect class="st-hit" x={x - reach} y={y - 12} width={2 * reach} height="24" />
      {isHere && <rect class="st-here" x={x - 9} y={y - 9} width="18" height="18" rx="4" />}
      {isBad
        ? <path class="st-bad" d={`M${x - 5},${y - 5}l10,10m0,-10l-10,10`} />
        : isMessage
        ? <circle class={`service-${keyColor(entry.subject, keys)}`} cx={x} cy={y} r="5" />
        : <circle class="st-plain" cx={x} cy={y} r="3" />}
    </g>
  );
}
