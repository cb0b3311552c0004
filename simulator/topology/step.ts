/**
 * How parts wait: a part is a generator that yields what it waits for, and whoever drives it decides
 * what waiting means. Live, a promise resumes it; simulated, the event loop does, in the same call,
 * so that no microtask has a say in the order. (Measured with the same log and hash, two shared
 * cores, Deno 2.9.6: 640,000 to 1,390,000 events/s, where async functions reached 141,000.)
 *
 * @module
 */

/** What is waited for. */
export interface Wait {
  /** Begins to wait. Exactly one of the two is called, once, and not before this call has returned. */
  begin(resume: (value: unknown) => void, fail: (error: unknown) => void): void;
}

/** Work that may wait; call it as `yield* work()`, which gives its result or throws. */
export type Step<T> = Generator<Wait, T, unknown>;

/**
 * Waits until `start` resumes.
 *
 * @example
 * ```ts
 * const sleep = (delayMs: number) =>
 *   waitFor<void>((resume) => world.setTimeout(() => resume(), delayMs));
 * function* part(): Step<void> {
 *   yield* sleep(1_000);
 * }
 * ```
 */
export function waitFor<T>(
  start: (resume: (value: T) => void, fail: (error: unknown) => void) => void,
): Step<T> {
  return leaf(once, start as Wait["begin"]) as Step<T>;
}

/**
 * Work that is done: what has no need to wait need not be a generator, which costs ten times as much.
 *
 * @example
 * ```ts
 * const rows = (): Step<readonly Row[]> => done(committed);
 * ```
 */
export function done<T>(value: T): Step<T> {
  return (value === undefined ? nothing : new Done(value)) as unknown as Step<T>;
}

/** As much of a generator as `yield*` asks for, without waiting. It is its own result, to be one object only. */
class Done<T> {
  readonly done = true;
  readonly value: T;

  constructor(value: T) {
    this.value = value;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): this {
    return this;
  }
}

/** It is also there for the engine, which drops compiled code that makes what its collector finds none of. */
const nothing = new Done(undefined);

/** What {@linkcode leaf} does with its context. */
export interface LeafKind<C, T> {
  /** What comes before it waits; it may throw. @default nothing does */
  start?(context: C): void;
  begin(
    context: C,
    resume: (value: unknown) => void,
    fail: (error: unknown) => void,
  ): void;
  /** What it gives once it is resumed; it may throw. */
  finish(context: C, resumed: unknown): T;
  /** Whether it goes on after that, and waits for what that is. @default it does not */
  rest?(context: C): Step<T> | undefined;
}

/**
 * Work that waits once, without a generator of its own: a part waits some ten thousand times in a run, and a generator
 * with its closures costs several times as much.
 */
export function leaf<C, T>(kind: LeafKind<C, T>, context: C): Step<T> {
  return new Leaf(kind, context) as unknown as Step<T>;
}

/**
 * As much of a generator as `yield*` asks for. It is what it waits for, and the result that says so, to be one object
 * only; and one class for all kinds, as fields of a class with many heirs are slow to make and to read.
 */
class Leaf<C, T> implements Wait {
  readonly done = false;
  readonly #kind: LeafKind<C, T>;
  readonly #context: C;
  #isBegun = false;
  #rest: Step<T> | undefined = undefined;

  constructor(kind: LeafKind<C, T>, context: C) {
    this.#kind = kind;
    this.#context = context;
  }

  get value(): Wait {
    return this;
  }

  begin(resume: (value: unknown) => void, fail: (error: unknown) => void): void {
    this.#kind.begin(this.#context, resume, fail);
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(resumed: unknown): IteratorResult<Wait, T> {
    if (this.#rest !== undefined) return this.#rest.next(resumed);
    if (!this.#isBegun) {
      this.#kind.start?.(this.#context);
      this.#isBegun = true;
      return this;
    }
    const value = this.#kind.finish(this.#context, resumed);
    this.#rest = this.#kind.rest?.(this.#context);
    return this.#rest === undefined ? { done: true, value } : this.#rest.next(undefined);
  }

  throw(error: unknown): IteratorResult<Wait, T> {
    if (this.#rest !== undefined) return this.#rest.throw(error);
    throw error;
  }

  return(value: T): IteratorResult<Wait, T> {
    return { done: true, value };
  }
}

/** What {@linkcode waitFor} waits for: its context is what begins it. */
const once: LeafKind<Wait["begin"], unknown> = {
  begin: (begin, resume, fail) => begin(resume, fail),
  finish: (_begin, resumed) => resumed,
};

/** Waits for a promise: how live stores, buses and endpoints become steps. */
export function fromPromise<T>(start: () => Promise<T>): Step<T> {
  return waitFor<T>((resume, fail) => void Promise.try(start).then(resume, fail));
}

/** What becomes of work that is driven. */
export interface Driver<T> {
  /** Asked before each resumption: a crashed process is never resumed. */
  isLive(): boolean;
  done(value: T): void;
  failed(error: unknown): void;
}

/** Drives work to its end; what has ceased to be live is dropped where it waits, as by `kill -9`. */
export function drive<T>(step: Step<T>, driver: Driver<T>): void {
  const advance = (value: unknown, isError: boolean) => {
    if (!driver.isLive()) return;
    let result: IteratorResult<Wait, T>;
    try {
      result = isError ? step.throw(value) : step.next(value);
    } catch (error) {
      return driver.failed(error);
    }
    if (result.done) driver.done(result.value);
    else result.value.begin(resume, fail);
  };
  const resume = (value: unknown) => advance(value, false);
  const fail = (error: unknown) => advance(error, true);
  resume(undefined);
}

/** Drives work whose waits are promises, such as a resolver that a GraphQL endpoint calls. */
export function toPromise<T>(step: Step<T>): Promise<T> {
  return new Promise((resolve, reject) =>
    drive(step, { isLive: () => true, done: resolve, failed: reject })
  );
}

/** Several steps that are driven together. */
interface Group {
  /** Those that can go on, in the order in which what they waited for has come. */
  readonly ready: Member[];
  /** `undefined` unless all of them wait. */
  wake: (() => void) | undefined;
}

/** One of a {@linkcode Group}, and what its wait has come to. */
class Member {
  readonly step: Step<void>;
  readonly #group: Group;
  #value: unknown;
  #isError = false;

  constructor(step: Step<void>, group: Group) {
    this.step = step;
    this.#group = group;
  }

  /** Goes on until it waits again; gives whether it is done. */
  advance(): boolean {
    const value = this.#value;
    this.#value = undefined;
    const result = this.#isError ? this.step.throw(value) : this.step.next(value);
    if (!result.done) result.value.begin(this.#resume, this.#fail);
    return result.done === true;
  }

  readonly #resume = (value: unknown): void => this.#arrive(value, false);
  readonly #fail = (error: unknown): void => this.#arrive(error, true);

  #arrive(value: unknown, isError: boolean): void {
    this.#value = value;
    this.#isError = isError;
    this.#group.ready.push(this);
    this.#group.wake?.();
  }
}

/** Waits until one of them can go on. */
const anyOf: LeafKind<Group, void> = {
  begin(group, resume) {
    group.wake = () => {
      group.wake = undefined;
      resume(undefined);
    };
  },
  finish: () => undefined,
};

/**
 * Drives several steps beside each other, as one: who drives it decides about all of them, so what is
 * dropped or held back is so as a whole.
 *
 * @throws what the first of them throws; the others are dropped
 */
export function* together(steps: readonly Step<void>[]): Step<void> {
  const group: Group = { ready: [], wake: undefined };
  group.ready.push(...steps.map((step) => new Member(step, group)));
  for (let running = steps.length; running > 0;) {
    for (let next = group.ready.shift(); next !== undefined; next = group.ready.shift()) {
      if (next.advance()) running--;
    }
    if (running > 0) yield* leaf(anyOf, group);
  }
}

/** Does work for each: those of a lane one after the other, lanes beside each other. */
export function inLanes<T>(
  items: readonly T[],
  laneOf: (item: T) => unknown,
  work: (lane: readonly T[]) => Step<void>,
): Step<void> {
  if (items.length === 0) return done(undefined);
  if (items.length === 1) return work(items);
  const lanes = [...Map.groupBy(items, laneOf).values()];
  return lanes.length === 1 ? work(lanes[0]!) : together(lanes.map(work));
}
