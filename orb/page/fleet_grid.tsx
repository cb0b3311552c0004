/**
 * A large fleet: tiles, or cells, on a canvas, each orb in its place. The canvas is not for screen
 * readers; arrows walk the places, and the orb there is said and shown in words.
 *
 * @module
 */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatCount } from "../../service/page/format.ts";
import { address, setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { drawFleet, type GridLayout, gridLayout, slotAfterKey, slotAt } from "./fleet_canvas.ts";
import { agoText } from "./fleet_view.tsx";
import { OrbMark, stateLooks } from "./orb_mark.tsx";
import type { Orb } from "./store.ts";

/** See the module. */
export function FleetGrid({ orbs }: { orbs: readonly Orb[] }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const dark = useMediaQuery("(prefers-color-scheme: dark)");
  const still = useMediaQuery("(prefers-reduced-motion: reduce)");
  const selected = address.value.params.get("orb");
  // The orb stays under the cursor when others come and go.
  const [cursorId, setCursorId] = useState(selected ?? orbs[0]!.id);
  const cursor = Math.max(0, orbs.findIndex(({ id }) => id === cursorId));
  const layout = gridLayout(orbs.length, width);

  useEffect(() => {
    if (selected !== null) setCursorId(selected);
  }, [selected]);
  useLayoutEffect(() => {
    const element = canvas.current!;
    const marked = orbs.findIndex(({ id }) => id === selected);
    const draw = () => drawFleet(element, orbs, layout, { cursor, selected: marked });
    draw();
    if (still || !orbs.some(({ brightMs }) => Date.now() - brightMs < brightForMs)) return;
    // What has brightened fades by itself.
    const timer = setTimeout(draw, brightForMs);
    return () => clearTimeout(timer);
  }, [orbs, width, cursor, selected, dark, still, document.documentElement.dataset.theme]);

  const orb = orbs[cursor]!;
  return (
    <div class="grid-place">
      <div
        class="grid"
        ref={box}
        role="listbox"
        aria-label="Orbs"
        tabIndex={0}
        aria-activedescendant="grid-cursor"
        onKeyDown={(event) => {
          if (event.key === "Enter") return setParams({ orb: orb.id });
          const next = slotAfterKey(event.key, cursor, orbs.length, layout);
          if (next === undefined) return;
          event.preventDefault();
          setCursorId(orbs[next]!.id);
          showSlot(box.current!, layout, next);
        }}
        onClick={(event) => {
          const clicked = orbs[slotUnder(event, canvas.current!, layout)];
          if (clicked === undefined) return;
          setCursorId(clicked.id);
          setParams({ orb: clicked.id === selected ? undefined : clicked.id });
        }}
        onPointerMove={(event) => {
          const under = orbs[slotUnder(event, canvas.current!, layout)];
          event.currentTarget.title = under ? orbText(under) : "";
        }}
      >
        <div
          id="grid-cursor"
          class="hidden-text"
          role="option"
          aria-selected={orb.id === selected}
          aria-posinset={cursor + 1}
          aria-setsize={orbs.length}
        >
          {orbText(orb)}
        </div>
        <canvas ref={canvas} aria-hidden="true" />
      </div>
      <p class="grid-cursor-text">
        <OrbMark state={orb.state} />
        {orbText(orb)}
        <span class="quiet">Arrows walk, Enter opens</span>
      </p>
    </div>
  );
}

/** How long an orb that has signed up stays bright, in milliseconds. */
export const brightForMs = 500;

function orbText({ id, state, signupsPerMinute, lastSeenMs }: Orb): string {
  const seen = lastSeenMs === null ? "no report yet" : `seen ${agoText(lastSeenMs)} ago`;
  const signups = signupsPerMinute === 1 ? "signup" : "signups";
  const rate = `${formatCount(signupsPerMinute)} ${signups}/min`;
  return `${id}: ${stateLooks[state].word}, ${rate}, ${seen}`;
}

function slotUnder(event: MouseEvent, canvas: HTMLCanvasElement, layout: GridLayout): number {
  const { left, top } = canvas.getBoundingClientRect();
  return slotAt(event.clientX - left, event.clientY - top, layout);
}

function showSlot(box: HTMLElement, { columns, cell }: GridLayout, slot: number): void {
  const top = Math.floor(slot / columns) * cell;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + cell > box.scrollTop + box.clientHeight) {
    box.scrollTop = top + cell - box.clientHeight;
  }
}

function useWidth(box: { current: HTMLDivElement | null }): number {
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const element = box.current!;
    const measure = () => setWidth(element.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}
