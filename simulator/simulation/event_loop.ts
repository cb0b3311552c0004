/**
 * Virtual time, processes that can crash, and the event log with its running hash.
 *
 * @module
 */
import TinyQueue from "tinyqueue";
import type { Draw } from "./decisions.ts";
import { newLogHash } from "./log_hash.ts";
import type { Change } from "./simulated_table.ts";
import { drive, leaf, type LeafKind, type Step, waitFor } from "../topology/step.ts";

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
  /** Its chance, of how long things take it too; `undefined` is none of it: all take the usual time. */
  draw: Draw | undefined;
}

/** Something that is to happen. */
export interface Event {
  atUs: number;
  order: number;
  /** `undefined` once it is called off. */
  callback: (() => void) | undefined;
  readonly process: Process | undefined;
  readonly life: number;
}

/** A line of the event log, taken apart. */
export interface LogEntry {
  /** How many events had run, this one included, when it was logged. */
  readonly event: number;
  readonly atUs: number;
  /** What has happened, such as `publish`. */
  readonly kind: string;
  /** The process to which it has happened, such as `relay-1.0`. */
  readonly part: string;
  /** What it was about: a message, a store, a shard. */
  readonly subject: string;
  readonly detail: string;
  /** Messages that it was about, beside the subject: those whose rows a commit has changed. */
  readonly messages: readonly string[];
  /** The rows that a commit has changed: the history of a message's rows is made of them. */
  readonly rows?: readonly Change[];
}

/** Options of {@linkcode EventLoop}. */
export interface EventLoopOptions {
  /** Takes each line of the log, without its end. @default lines are hashed only */
  onLine?: (line: string) => void;
  /** Takes each line of the log, taken apart. @default they are hashed only */
  onEntry?: (entry: LogEntry) => void;
  /** Whether the log is hashed; without, and with nobody who takes it, its lines are only counted. @default true */
  isHashed?: boolean;
}

const hashChunkLength = 65_536;
const noMessages: readonly string[] = [];

/** The event loop of one run. */
export class EventLoop {
  nowUs = 0;
  /** Events that have run. */
  count = 0;
  /** Lines that were logged. */
  lines = 0;
  /** What is to happen later than it was asked for. */
  readonly #queue = new TinyQueue<Event>([], byTime);
  /** What is to happen at once, by its order: it comes after what the heap has for the same time, as that was asked for before. */
  #now: Event[] = [];
  #nextNow = 0;
  /** Whether anybody asks for the log's lines: else they need not be made. */
  readonly isLogged: boolean;
  readonly #hash = newLogHash();
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #onEntry: ((entry: LogEntry) => void) | undefined;
  #text = "";
  #order = 0;
  #failure: { error: unknown } | undefined;

  constructor({ onLine, onEntry, isHashed = true }: EventLoopOptions = {}) {
    this.#onLine = onLine;
    this.#onEntry = onEntry;
    this.isLogged = isHashed || onLine !== undefined || onEntry !== undefined;
  }

  get nowMs(): number {
    return this.nowUs / 1_000;
  }

  /** Runs `callback` after so much virtual time, unless the process that it belongs to has crashed by then. */
  after(delayMs: number, callback: () => void, process?: Process): Event {
    const event = {
      atUs: this.nowUs + Math.max(0, Math.round(delayMs * 1_000)),
      order: ++this.#order,
      callback,
      process,
      life: process === undefined ? 0 : process.life,
    };
    if (event.atUs === this.nowUs) this.#now.push(event);
    else this.#queue.push(event);
    return event;
  }

  /** It will not happen. */
  callOff(event: Event): void {
    event.callback = undefined;
  }

  /** A step that takes so long. */
  sleep(delayMs: number, process?: Process): Step<void> {
    return leaf(pause, { loop: this, delayMs, process });
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
        this.callOff(timer);
        end(value);
      };
      const [resumeOnce, failOnce] = [once(resume), once(fail)];
      this.spawn(process, step, failOnce, resumeOnce as (value: unknown) => void);
      const timer = this.after(limitMs, () => failOnce(late()));
    });
  }

  /** Adds a line to the event log: fixed columns, then words. */
  log(
    kind: string,
    column: string,
    subject: string,
    detail: string,
    messages: readonly string[] = noMessages,
    rows?: readonly Change[],
  ): void {
    this.lines++;
    if (!this.isLogged) return;
    const line = `${String(this.nowUs).padStart(11)} ${kind.padEnd(14)} ${column} ${
      subject.padEnd(8)
    } ${detail}`;
    this.#text += line + "\n";
    if (this.#text.length >= hashChunkLength) this.#flush();
    this.#onLine?.(line);
    if (this.#onEntry === undefined) return;
    const part = column.trimEnd();
    const entry = { event: this.count, atUs: this.nowUs, kind, part, subject, detail, messages };
    // Nothing else of a change leaves the store: an entry can be sent to another thread.
    const bare = rows?.map(({ table, id, before, after }) => ({ table, id, before, after }));
    this.#onEntry(bare === undefined ? entry : { ...entry, rows: bare });
  }

  /** Runs until that time, or until `isDone`; at most so many events, as an endless loop of no duration never ends. */
  runUntil(untilMs: number, isDone: () => boolean = never, maxEvents = 20_000_000): void {
    while (!isDone() && this.step(untilMs)) {
      if (this.count > maxEvents) throw new Error(`More than ${maxEvents} events: an endless loop`);
    }
    if (!isDone()) this.advanceTo(untilMs);
  }

  /** Runs the next event, if there is one until then; gives whether there was. */
  step(untilMs: number): boolean {
    const event = this.#peek();
    if (event === undefined || event.atUs > untilMs * 1_000) return false;
    if (event === this.#now[this.#nextNow]) this.#nextNow++;
    else this.#queue.pop();
    this.nowUs = event.atUs;
    this.#run(event);
    if (this.#failure !== undefined) throw this.#failure.error;
    return true;
  }

  #peek(): Event | undefined {
    const later = this.#queue.peek();
    if (this.#nextNow === this.#now.length) {
      if (this.#nextNow > 0) {
        this.#now = [];
        this.#nextNow = 0;
      }
      return later;
    }
    const soon = this.#now[this.#nextNow]!;
    return later !== undefined && byTime(later, soon) < 0 ? later : soon;
  }

  /** Nothing happens until then. */
  advanceTo(untilMs: number): void {
    this.nowUs = Math.max(this.nowUs, Math.round(untilMs * 1_000));
  }

  /** The hash of the log up to now, in hex; the log takes no line after it. */
  digest(): string {
    this.#flush();
    return this.#hash.digest();
  }

  #run(event: Event): void {
    const { process, callback } = event;
    if (callback === undefined) return;
    if (process !== undefined) {
      if (!process.isLive || process.life !== event.life) return;
      if (process.pausedUntilUs > this.nowUs) {
        // The same one, so that it can still be called off.
        event.atUs = process.pausedUntilUs;
        event.order = ++this.#order;
        this.#queue.push(event);
        return;
      }
    }
    this.count++;
    callback();
  }

  #flush(): void {
    this.#hash.update(this.#text);
    this.#text = "";
  }
}

/** How long it takes a process this time: half as long as usual, up to half as long again. */
export function jittered(process: Process, usualMs: number): number {
  return process.draw === undefined ? usualMs : usualMs * (0.5 + process.draw());
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
    draw: undefined,
  };
}

/** Where a crashed process stays. */
export function forever(): Step<never> {
  return waitFor<never>(() => {});
}

interface Pause {
  readonly loop: EventLoop;
  readonly delayMs: number;
  readonly process: Process | undefined;
}

/** Takes so long. */
const pause: LeafKind<Pause, void> = {
  begin: ({ loop, delayMs, process }, resume) =>
    void loop.after(delayMs, resume as () => void, process),
  finish: ignore,
};

function byTime(a: Event, b: Event): number {
  return a.atUs - b.atUs || a.order - b.order;
}

function never(): boolean {
  return false;
}

function ignore(): void {}
