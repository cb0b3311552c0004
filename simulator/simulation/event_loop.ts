/**
 * Virtual time, processes that can crash, and the event log with its running hash.
 *
 * @module
 */
import { createHash } from "node:crypto";
import TinyQueue from "tinyqueue";
import { drive, type Step, type Wait, waitFor } from "../topology/step.ts";

/** A process: it crashes as a whole, and what it waited for never comes. */
export interface Process {
  /** Such as `relay-1.0`. */
  readonly name: string;
  /** The name, as wide as its column of the log. */
  readonly column: string;
  isLive: boolean;
  /** Counted up at each crash: what an earlier life has begun does not reach the next. */
  life: number;
  /** Whether it is to crash at its next commit, and on which side of it. */
  doom: "none" | "before-commit" | "after-commit";
  /** It does not run until then, as if it were starved. */
  pausedUntilUs: number;
  /** How much its clock is ahead. */
  skewMs: number;
}

interface Event {
  readonly atUs: number;
  readonly order: number;
  readonly callback: () => void;
  readonly process: Process | undefined;
  readonly life: number;
}

/** Options of {@linkcode EventLoop}. */
export interface EventLoopOptions {
  /** Takes each line of the log, without its end. @default lines are hashed only */
  onLine?: (line: string) => void;
}

const hashChunkLength = 65_536;

/** The event loop of one run. */
export class EventLoop {
  nowUs = 0;
  /** Events that have run. */
  count = 0;
  /** Lines that were logged. */
  lines = 0;
  readonly #queue = new TinyQueue<Event>([], byTime);
  readonly #hash = createHash("sha256");
  readonly #onLine: ((line: string) => void) | undefined;
  #text = "";
  #order = 0;
  #failure: { error: unknown } | undefined;

  constructor(options: EventLoopOptions = {}) {
    this.#onLine = options.onLine;
  }

  get nowMs(): number {
    return this.nowUs / 1_000;
  }

  /** Runs `callback` after so much virtual time, unless the process that it belongs to has crashed by then. */
  after(delayMs: number, callback: () => void, process?: Process): void {
    this.#queue.push({
      atUs: this.nowUs + Math.max(0, Math.round(delayMs * 1_000)),
      order: ++this.#order,
      callback,
      process,
      life: process === undefined ? 0 : process.life,
    });
  }

  /** A step that takes so long. */
  *sleep(delayMs: number, process?: Process): Step<void> {
    yield this.pause(delayMs, process);
  }

  /** What a step yields to take so long: without a generator of its own, for what is done often. */
  pause(delayMs: number, process?: Process): Wait {
    return (resume) => this.after(delayMs, resume as () => void, process);
  }

  /** Drives work as a task of a process. An error that reaches its end is a defect: it ends the run. */
  spawn(
    process: Process,
    step: Step<unknown>,
    failed: (error: unknown) => void = (error) => this.#failure ??= { error },
    done: (value: unknown) => void = ignore,
  ): void {
    const { life } = process;
    this.after(
      0,
      () => drive(step, { isLive: () => process.isLive && process.life === life, done, failed }),
      process,
    );
  }

  /** Waits for work at most so long; what is late goes on, and its result is dropped. */
  race<T>(process: Process, step: Step<T>, limitMs: number, late: () => Error): Step<T> {
    return waitFor<T>((resume, fail) => {
      let isOver = false;
      const once = <A>(end: (value: A) => void) => (value: A) => {
        if (isOver) return;
        isOver = true;
        end(value);
      };
      const [resumeOnce, failOnce] = [once(resume), once(fail)];
      this.spawn(process, step, failOnce, resumeOnce as (value: unknown) => void);
      this.after(limitMs, () => failOnce(late()));
    });
  }

  /** Adds a line to the event log: fixed columns, then words. */
  log(event: string, column: string, subject: string, detail: string): void {
    this.lines++;
    const line = `${String(this.nowUs).padStart(11)} ${event.padEnd(14)} ${column} ${
      subject.padEnd(8)
    } ${detail}`;
    this.#text += line + "\n";
    if (this.#text.length >= hashChunkLength) this.#flush();
    this.#onLine?.(line);
  }

  /** Runs until that time, or until `isDone`; at most so many events, as an endless loop of no duration never ends. */
  runUntil(untilMs: number, isDone: () => boolean = never, maxEvents = 20_000_000): void {
    const untilUs = Math.round(untilMs * 1_000);
    for (let event = this.#queue.peek(); event !== undefined; event = this.#queue.peek()) {
      if (event.atUs > untilUs || isDone()) break;
      this.#queue.pop();
      this.nowUs = event.atUs;
      this.#run(event);
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.count > maxEvents) throw new Error(`More than ${maxEvents} events: an endless loop`);
    }
    if (!isDone()) this.nowUs = Math.max(this.nowUs, untilUs);
  }

  /** The hash of the log up to now, in hex; the log takes no line after it. */
  digest(): string {
    this.#flush();
    return this.#hash.digest("hex");
  }

  #run(event: Event): void {
    const { process } = event;
    if (process !== undefined) {
      if (!process.isLive || process.life !== event.life) return;
      if (process.pausedUntilUs > this.nowUs) {
        this.#queue.push({ ...event, atUs: process.pausedUntilUs, order: ++this.#order });
        return;
      }
    }
    this.count++;
    event.callback();
  }

  #flush(): void {
    this.#hash.update(this.#text);
    this.#text = "";
  }
}

/** Makes a process that is alive. */
export function newProcess(name: string): Process {
  return {
    name,
    column: name.padEnd(12),
    isLive: true,
    life: 0,
    doom: "none",
    pausedUntilUs: 0,
    skewMs: 0,
  };
}

function byTime(a: Event, b: Event): number {
  return a.atUs - b.atUs || a.order - b.order;
}

function never(): boolean {
  return false;
}

function ignore(): void {}
