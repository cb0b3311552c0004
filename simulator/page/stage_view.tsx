/**
 * The stage: a canvas that a person moves with the pointer or the keys. It is hidden from screen
 * readers, as the list beside it says the same.
 *
 * @module
 */
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useShortcuts } from "../../service/page/keys.ts";
import { themeVersion } from "../../service/page/theme.tsx";
import { setParams } from "../../service/page/url_state.ts";
import { useMediaQuery } from "../../service/page/use_media_query.ts";
import { fitView, type View, zoomView } from "./stage_layout.ts";
import { readColors } from "./stage_colors.ts";
import { type Frame, spriteAt } from "./stage_frame.ts";
import { StagePainter } from "./stage_painter.ts";
import { fits, layout, model, selected, stageNow } from "./store.ts";
import { path, playheadMs, shownStep } from "./trace_store.ts";

/** The canvas with what a person does to it. */
class Stage {
  readonly #canvas: HTMLCanvasElement;
  readonly #painter: StagePainter;
  readonly #stopThemes: () => void;
  readonly #observer: ResizeObserver;
  #size = { width: 1, height: 1 };
  /** `undefined` while all is shown, whatever comes and goes. */
  #chosen: View | undefined;
  #shown: View | undefined;
  #dragged: { x: number; y: number; view: View; moved: boolean } | undefined;
  #frame = 0;
  still = false;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#painter = new StagePainter(canvas, readColors(canvas.parentElement!));
    this.#stopThemes = effect(() => {
      if (themeVersion.value >= 0) this.#painter.setColors(readColors(canvas.parentElement!));
    });
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(canvas.parentElement!);
    canvas.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#onDown(event));
    canvas.addEventListener("pointermove", (event) => this.#onMove(event));
    canvas.addEventListener("pointerup", (event) => this.#onUp(event));
    canvas.addEventListener("pointercancel", () => this.#dragged = undefined);
    this.#resize();
    this.#loop();
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#observer.disconnect();
    this.#stopThemes();
  }

  /** Shows all of it again. */
  fit(): void {
    this.#chosen = undefined;
  }

  zoom(factor: number, at = { x: this.#size.width / 2, y: this.#size.height / 2 }): void {
    this.#chosen = zoomView(this.#view(), factor, at, this.#size);
    this.#shown = this.#chosen;
  }

  #view(): View {
    return this.#chosen ?? this.#shown ?? fitView(layout.bounds, this.#size);
  }

  #resize(): void {
    const { clientWidth, clientHeight } = this.#canvas.parentElement!;
    const ratio = devicePixelRatio;
    this.#size = { width: Math.max(1, clientWidth), height: Math.max(1, clientHeight) };
    this.#canvas.width = Math.round(this.#size.width * ratio);
    this.#canvas.height = Math.round(this.#size.height * ratio);
    layout.setAspect(this.#size.width / this.#size.height);
  }

  #loop(): void {
    this.#frame = requestAnimationFrame(() => {
      this.#draw();
      this.#loop();
    });
  }

  #draw(): void {
    const wanted = this.#chosen ?? fitView(layout.bounds, this.#size);
    // A field that grows makes all smaller: gently, so that the eye can follow.
    this.#shown = this.#shown && !this.still ? between(this.#shown, wanted, 0.15) : wanted;
    this.#painter.draw({ ...this.#scene(), view: this.#shown }, devicePixelRatio);
  }

  #scene(): Frame {
    const followed = path.peek();
    return {
      model,
      layout,
      view: this.#view(),
      ...this.#size,
      nowMs: stageNow(),
      still: this.still,
      fits: followed ? ({ number }) => followed.names.has(number) : fits,
      selected: selected.peek(),
      trace: followed &&
        { path: followed, atMs: playheadMs.peek(), step: shownStep.peek() },
    };
  }

  #onWheel(event: WheelEvent): void {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * 0.0015), { x: event.offsetX, y: event.offsetY });
  }

  #onDown(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#dragged = { x: event.offsetX, y: event.offsetY, view: this.#view(), moved: false };
  }

  #onMove(event: PointerEvent): void {
    const dragged = this.#dragged;
    if (!dragged) return;
    const [dx, dy] = [event.offsetX - dragged.x, event.offsetY - dragged.y];
    if (!dragged.moved && Math.hypot(dx, dy) < 4) return;
    dragged.moved = true;
    const { x, y, scale } = dragged.view;
    this.#chosen = { x: x - dx / scale, y: y - dy / scale, scale };
    this.#shown = this.#chosen;
  }

  #onUp(event: PointerEvent): void {
    const dragged = this.#dragged;
    this.#dragged = undefined;
    if (!dragged || dragged.moved) return;
    const sprite = spriteAt(this.#scene(), event.offsetX, event.offsetY);
    setParams({ client: sprite?.number });
  }
}

function between(a: View, b: View, share: number): View {
  const mix = (from: number, to: number) => from + (to - from) * share;
  return { x: mix(a.x, b.x), y: mix(a.y, b.y), scale: mix(a.scale, b.scale) };
}

/** See the module. */
export function StageView() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const stage = useRef<Stage | undefined>(undefined);
  const still = useMediaQuery("(prefers-reduced-motion: reduce)");
  useEffect(() => {
    stage.current = new Stage(canvas.current!);
    return () => stage.current?.stop();
  }, []);
  useEffect(() => {
    stage.current!.still = still;
  }, [still]);
  useShortcuts([
    { key: "+", label: "Larger", run: () => stage.current?.zoom(1.4) },
    { key: "-", label: "Smaller", run: () => stage.current?.zoom(1 / 1.4) },
    { key: "0", label: "Show all sprites", run: () => stage.current?.fit() },
  ]);
  return (
    <div class="stage">
      <canvas ref={canvas} aria-hidden="true" />
      <div class="stage-zoom">
        <button
          type="button"
          class="icon-button"
          aria-label="Smaller"
          title="Smaller (-)"
          onClick={() => stage.current?.zoom(1 / 1.4)}
        >
          −
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Larger"
          title="Larger (+)"
          onClick={() => stage.current?.zoom(1.4)}
        >
          +
        </button>
        <button
          type="button"
          class="button"
          title="Show all (0)"
          onClick={() => stage.current?.fit()}
        >
          Fit
        </button>
      </div>
    </div>
  );
}
