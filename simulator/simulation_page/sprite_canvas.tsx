/**
 * The canvas over a topology on which messages fly: after each step of a run, or as they come live.
 *
 * @module
 */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { ReadonlySignal } from "@preact/signals";
import { readColors, type StageColors } from "../page/stage_colors.ts";
import type { LogEntry } from "../simulation/engine.ts";
import { keyColor, type Keys, keysOf } from "./message_key.ts";
import { isStill } from "./play.ts";
import { drawStill, Sprites } from "./sprites.ts";
import type { Branch } from "./page_state.ts";
import { type Flight, flightsOf, type TopologyLayout } from "./topology_layout.ts";

/** What a run has flying at an entry of its log, and since the one before. */
export function RunSprites(
  { layout, run, place }: { layout: TopologyLayout; run: Branch; place: number },
) {
  const last = useRef({ run, place });
  const fly = useFlying(layout, keysOf(run.info.options), run.info.entries[place]);
  useEffect(() => {
    const { run: before, place: from } = last.current;
    last.current = { run, place };
    // A jump is not flown.
    if (before !== run || place < from || place - from > 600) fly.clear();
    else fly.add(run.info.entries.slice(from + 1, place + 1).flatMap(flightsOf));
  }, [run, place]);
  return <canvas ref={fly.canvas} class="sprites" aria-hidden="true" />;
}

/** What comes live. */
export function LiveSprites(
  { layout, keys, flights }: {
    layout: TopologyLayout;
    keys: Keys;
    /** What has come since the last time. */
    flights: ReadonlySignal<readonly Flight[]>;
  },
) {
  const fly = useFlying(layout, keys, undefined);
  const now = flights.value;
  useEffect(() => fly.add(now), [now]);
  return <canvas ref={fly.canvas} class="sprites" aria-hidden="true" />;
}

/** A canvas that is drawn for as long as something flies; without motion, `entry` stands still on it. */
function useFlying(layout: TopologyLayout, keys: Keys, entry: LogEntry | undefined) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const sprites = useRef(new Sprites());
  const frame = useRef(0);
  const still = isStill.value;
  const paint = () => {
    frame.current = 0;
    const drawn = canvas.current;
    if (drawn === null) return;
    const context = prepared(drawn, layout);
    const colors = colorsOf(drawn.parentElement!);
    const colorOf = (message: string) => colors.services[keyColor(message, keys)]!;
    if (still) {
      if (entry !== undefined) drawStill(context, layout, colors, entry, colorOf);
    } else if (sprites.current.draw(context, layout, colors, performance.now(), colorOf)) ask();
  };
  const latest = useRef(paint);
  latest.current = paint;
  const ask = () => frame.current ||= requestAnimationFrame(() => latest.current());
  useEffect(() => {
    ask();
  }, [entry, layout.isNarrow, still]);
  useLayoutEffect(() => () => cancelAnimationFrame(frame.current), []);
  return {
    canvas,
    clear() {
      sprites.current.clear();
      ask();
    },
    add(flights: readonly Flight[]) {
      if (still) return;
      sprites.current.add(flights, performance.now());
      ask();
    },
  };
}

let known: { theme: string; colors: StageColors } | undefined;

/** The colours in force, read again when the theme has changed: reading them costs a frame. */
function colorsOf(element: Element): StageColors {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = `${document.documentElement.dataset["theme"]} ${isDark}`;
  if (known?.theme !== theme) known = { theme, colors: readColors(element) };
  return known.colors;
}

/** A context in the measure of the layout, empty. */
function prepared(canvas: HTMLCanvasElement, layout: TopologyLayout): CanvasRenderingContext2D {
  const ratio = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.scale(width / layout.width, height / layout.height);
  return context;
}
