import assert from "node:assert/strict";
import {
  type EventSourceLike,
  LiveStream,
  type StreamMessage,
  type StreamPlatform,
} from "./live_stream.ts";

class FakeSource implements EventSourceLike {
  readonly listeners = new Map<string, (event: { data?: unknown; lastEventId?: string }) => void>();
  closed = false;

  constructor(readonly url: string) {}

  addEventListener(name: string, listen: (event: object) => void): void {
    this.listeners.set(name, listen);
  }

  close(): void {
    this.closed = true;
  }

  emit(name: string, data: unknown, lastEventId = ""): void {
    this.listeners.get(name)!({ data: JSON.stringify(data), lastEventId });
  }

  fail(): void {
    this.listeners.get("error")!({});
  }
}

/** Time and frames by hand. */
class FakePlatform implements StreamPlatform {
  readonly sources: FakeSource[] = [];
  readonly frames: (() => void)[] = [];
  timers: { run: () => void; atMs: number }[] = [];
  nowMs = 0;

  open(url: string): FakeSource {
    const source = new FakeSource(url);
    this.sources.push(source);
    return source;
  }
  nextFrame(run: () => void): void {
    this.frames.push(run);
  }
  setTimer(run: () => void, ms: number): unknown {
    const timer = { run, atMs: this.nowMs + ms };
    this.timers.push(timer);
    return timer;
  }
  clearTimer(timer: unknown): void {
    this.timers = this.timers.filter((one) => one !== timer);
  }
  now(): number {
    return this.nowMs;
  }
  /** Chance at its least favourable: every wait is as long as it may be. */
  random(): number {
    return 0;
  }

  get last(): FakeSource {
    return this.sources.at(-1)!;
  }
  frame(): void {
    for (const run of this.frames.splice(0)) run();
  }
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const next = this.timers.filter((one) => one.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.clearTimer(next);
      this.nowMs = next.atMs;
      next.run();
    }
    this.nowMs = untilMs;
  }
}

function attemptOf({ state: { value: state } }: LiveStream): number | undefined {
  return state.kind === "reconnecting" ? state.attempt : undefined;
}

function startStream(options: { maxQueuedMessages?: number } = {}) {
  const platform = new FakePlatform();
  const batches: (readonly StreamMessage[])[] = [];
  const stream = new LiveStream({
    url: (id) => id === undefined ? "/s" : `/s?lastEventId=${id}`,
    events: ["hello", "traces"],
    onMessages: (messages) => batches.push(messages),
    platform,
    ...options,
  });
  stream.start();
  return { platform, stream, batches };
}

Deno.test("LiveStream delivers once a frame, in order", () => {
  const { platform, stream, batches } = startStream();
  assert.equal(stream.state.value.kind, "connecting");
  for (let i = 0; i < 1_000; i++) platform.last.emit("traces", i);
  assert.equal(stream.state.value.kind, "live");
  assert.equal(batches.length, 0);
  platform.frame();
  assert.equal(batches.length, 1);
  assert.deepEqual(batches[0]!.map((one) => one.data), Array.from({ length: 1_000 }, (_, i) => i));
});

Deno.test("LiveStream reconnects with a growing wait, counts the attempts and asks for what it missed", () => {
  const { platform, stream } = startStream();
  platform.last.emit("traces", {}, "e7");
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 6; attempt++) {
    platform.last.fail();
    assert.equal(attemptOf(stream), attempt);
    waits.push(platform.timers[0]!.atMs - platform.nowMs);
    platform.pass(waits.at(-1)!);
    assert.equal(platform.sources.length, attempt + 1);
    assert.equal(platform.last.url, "/s?lastEventId=e7");
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
  platform.last.emit("hello", {});
  assert.equal(stream.state.value.kind, "live");
  platform.last.fail();
  assert.equal(attemptOf(stream), 1, "a success resets the count");
});

Deno.test("LiveStream says since when nothing has come, and is live again with the next event", () => {
  const { platform, stream } = startStream();
  platform.last.emit("hello", {});
  platform.pass(4_999);
  assert.equal(stream.state.value.kind, "live");
  platform.pass(1);
  assert.deepEqual(stream.state.value, { kind: "silent", sinceMs: 0 });
  platform.last.emit("traces", 1);
  assert.equal(stream.state.value.kind, "live");
  platform.pass(15_000);
  assert.equal(attemptOf(stream), 1);
  stream.stop();
});

Deno.test("LiveStream takes a silent connection and half an event for a broken one", () => {
  const { platform, stream } = startStream();
  platform.last.emit("hello", {});
  platform.pass(15_000);
  assert.equal(stream.state.value.kind, "reconnecting");
  assert.ok(platform.sources[0]!.closed);

  platform.pass(500);
  platform.last.listeners.get("traces")!({ data: '{"traces":[' });
  assert.equal(stream.state.value.kind, "reconnecting");
});

Deno.test("LiveStream ignores a connection that it has left", () => {
  const { platform, stream, batches } = startStream();
  const first = platform.last;
  stream.restart();
  first.emit("traces", "old");
  first.fail();
  platform.last.emit("traces", "new");
  platform.frame();
  assert.deepEqual(batches.flat().map((one) => one.data), ["new"]);
  assert.equal(stream.state.value.kind, "live");
});

Deno.test("LiveStream keeps a bounded number for a frame that does not come, and counts the rest", () => {
  const { platform, stream, batches } = startStream({ maxQueuedMessages: 3 });
  for (let i = 1; i <= 10; i++) platform.last.emit("traces", i);
  platform.frame();
  assert.deepEqual(batches[0]!.map((one) => one.data), [8, 9, 10]);
  assert.equal(stream.lost, 7);
});

Deno.test("LiveStream gives its connection up while nobody sees the page, and catches up when somebody does", () => {
  const platform = Object.assign(new FakePlatform(), {
    visible: true,
    changed: () => {},
    isVisible: () => platform.visible,
    onVisibility: (listen: () => void) => void (platform.changed = listen),
  });
  const show = (visible: boolean) => {
    platform.visible = visible;
    platform.changed();
  };
  const stream = new LiveStream({
    url: (id) => id === undefined ? "/s" : `/s?lastEventId=${id}`,
    events: ["hello"],
    onMessages: () => {},
    platform,
  });
  stream.start();
  platform.last.emit("hello", {}, "e7");
  // Away for a moment is not away.
  show(false);
  platform.pass(9_000);
  show(true);
  platform.pass(5_000);
  assert.equal(platform.last.closed, false);

  platform.last.emit("hello", {}, "e8");
  show(false);
  platform.pass(10_000);
  assert.equal(stream.asleep, true);
  assert.ok(platform.last.closed);
  // Nothing is tried while it sleeps, however long.
  platform.pass(600_000);
  assert.equal(platform.sources.length, 1);
  show(true);
  assert.equal(platform.last.url, "/s?lastEventId=e8");
  assert.equal(stream.state.value.kind, "connecting");
  platform.last.emit("hello", {});
  assert.equal(stream.state.value.kind, "live");

  stream.stop();
  show(false);
  show(true);
  assert.equal(platform.sources.length, 2);
});
