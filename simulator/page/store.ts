/**
 * What the page knows: the stage, kept up by the socket or by a capture, the list, and what its
 * address says.
 *
 * @module
 */
import { computed, effect, signal } from "@preact/signals";
import { announce } from "../../service/page/announce.ts";
import { formatCounted } from "../../service/page/format.ts";
import { address, numberParam, setParams, wordParam } from "../../service/page/url_state.ts";
import type { Hello, Stats } from "../api.ts";
import { CapturePlayer, readCaptureText } from "./capture_player.ts";
import { EventSocket } from "./event_socket.ts";
import { StageLayout } from "./stage_layout.ts";
import { type SeenEvent, seenEvent, type Sprite, StageModel } from "./stage_model.ts";

/** The two ways to see the same. */
export const views = ["stage", "list"] as const;

/** Where sprites stand. */
export const layout = new StageLayout();

/** The stage. */
export const model = new StageModel({
  added: (sprite) => layout.add(sprite.number, sprite.name),
  removed: (sprite) => layout.remove(sprite.number, sprite.name),
});

/** The latest figures of the server. */
export const stats = signal<Stats | undefined>(undefined);
/** What the server said of itself. */
export const hello = signal<Hello | undefined>(undefined);
/** A capture that is played in the page, in place of what is live. */
export const capture = signal<{ name: string; player: CapturePlayer } | undefined>(undefined);
/** Grows a few times a second while something changes: what lists are drawn by. */
export const version = signal(0);
/** Events that wait while the page is paused. */
export const waiting = signal(0);

/** Whether the page stands still. */
export const paused = computed(() => address.value.params.has("paused"));
/** Which of {@linkcode views} is shown. */
export const view = computed(() => wordParam(address.value.params, "view", views));
/** What is searched for. */
export const query = computed(() => address.value.params.get("q") ?? "");
/** The client that is shown in detail. */
export const selected = computed(() => {
  const number = numberParam(address.value.params, "client", { min: 0, max: 1e9, fallback: 0 });
  return number === 0 ? undefined : number;
});

const maxQueued = 20_000;
let queue: SeenEvent[] = [];
let droppedWhilePaused = 0;

/** The stage's clock: it stands still while the page is paused. */
let clockMs = 0;
let lastFrameMs: number | undefined;

/** The stage's clock now. */
export function stageNow(): number {
  return clockMs;
}

/** Whether a sprite is searched for: by name, process, trace, or a word that it has just said. */
export function fits(sprite: Sprite): boolean {
  const text = query.peek().toLowerCase();
  return text === "" || sprite.name.toLowerCase().includes(text) ||
    String(sprite.pid ?? "") === text || sprite.traceId.startsWith(text) ||
    sprite.bubbles.some((bubble) => bubble.text.toLowerCase().includes(text));
}

/** Whether an event is searched for. */
export function eventFits({ name, event, traceId, text }: SeenEvent, query: string): boolean {
  const wanted = query.toLowerCase();
  return wanted === "" || name.toLowerCase().includes(wanted) ||
    event.toLowerCase().includes(wanted) || traceId.startsWith(wanted) ||
    text.toLowerCase().includes(wanted);
}

/** The connection. */
export const socket = new EventSocket({
  url: (after) => `${location.origin.replace(/^http/, "ws")}/ws?after=${after}`,
  onHello(message) {
    const before = hello.peek();
    hello.value = message;
    if (before === undefined || before.instance !== message.instance) {
      model.reset(message.clients, clockMs);
      if (before !== undefined) announce("The server has been restarted. The page goes on.");
      return;
    }
    model.reconcile(message.clients, clockMs);
    announce(
      message.replay === "gap"
        ? `Connected again; ${formatCounted(message.missing, "event")} are not kept any more`
        : "Connected again; what was missed has been caught up",
    );
  },
  onEvents(events) {
    if (capture.peek()) return;
    for (const event of events) {
      const seen = seenEvent(event);
      if (seen) queue.push(seen);
    }
    if (queue.length > maxQueued) {
      droppedWhilePaused += queue.length - maxQueued;
      queue.splice(0, queue.length - maxQueued);
    }
  },
  onStats: (message) => stats.value = message,
  onDropped: (reason) => announce(`The server has closed the connection: ${reason}`),
});

/**
 * Begins.
 *
 * @param onTick called with each frame, before lists are drawn anew, with the time since the last one
 */
export function startStore(onTick: (elapsedMs: number, isDrawn: boolean) => void): void {
  socket.start();
  effect(() => {
    if (paused.value || droppedWhilePaused === 0) return;
    announce(`${formatCounted(droppedWhilePaused, "event")} came while paused and were not kept`);
    droppedWhilePaused = 0;
  });
  let drawnMs = 0;
  const tick = (atMs: number) => {
    const elapsedMs = advance(atMs);
    const isDrawn = atMs - drawnMs > 250;
    onTick(elapsedMs, isDrawn);
    if (isDrawn) {
      drawnMs = atMs;
      version.value++;
    }
    // A hidden tab has no frames; what it gets is taken in all the same.
    if (document.visibilityState === "hidden") setTimeout(() => tick(performance.now()), 250);
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

/** Lets the stage go on; gives the time since the last frame, as far as it counts. */
function advance(atMs: number): number {
  const elapsedMs = lastFrameMs === undefined ? 0 : Math.min(1_000, atMs - lastFrameMs);
  lastFrameMs = atMs;
  if (paused.peek()) {
    if (waiting.peek() !== queue.length) waiting.value = queue.length;
    return elapsedMs;
  }
  clockMs += elapsedMs;
  const player = capture.peek()?.player;
  takeAll(player ? player.advance(elapsedMs) : queue.splice(0));
  waiting.value = 0;
  model.tidy(clockMs);
  return elapsedMs;
}

function takeAll(events: readonly SeenEvent[]): void {
  for (const event of events) model.take(event, clockMs);
}

/** Takes one event while the page is paused. */
export function step(): void {
  if (!paused.peek()) setParams({ paused: true });
  const player = capture.peek()?.player;
  const events = player ? player.step() : queue.splice(0, 1);
  if (events.length === 0) announce("Nothing waits: there is no next event yet");
  // A step is as long as a flight, so that what it does can be seen.
  clockMs += 300;
  takeAll(events);
  model.tidy(clockMs);
  version.value++;
}

/** Loads a capture from a file and plays it. */
export async function loadCapture(file: File): Promise<void> {
  try {
    const events = readCaptureText(await file.text());
    model.reset([], clockMs);
    queue = [];
    capture.value = { name: file.name, player: new CapturePlayer(events) };
    announce(`${file.name}: ${formatCounted(events.length, "event")}`);
  } catch (error) {
    announce(`${file.name} cannot be played. ${(error as Error).message}`, 8_000);
  }
}

/** Goes back to what is live. */
export function closeCapture(): void {
  capture.value = undefined;
  model.reset(hello.peek()?.clients ?? [], clockMs);
  socket.start();
}

/** A trace's page in the console, where a console is known. */
export function traceLink(traceId: string): string | undefined {
  const base = hello.value?.console;
  return base && `${base.replace(/\/$/, "")}/traces/${traceId.replaceAll("-", "")}`;
}
