/**
 * A list that begins with an answer of the API and goes on with the live stream: traces, logs.
 *
 * @module
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import { getJson, RequestError } from "../../service/page/get_json.ts";
import { LiveRows } from "../../service/page/live_rows.ts";
import type { Sampled } from "../page_api/stream_events.ts";

/** Options of {@linkcode LiveList}. */
export interface LiveListOptions<Row, Answer> {
  /** What makes two rows the same one. */
  key: (row: Row) => string | number;
  /** The answer's rows, newest first. */
  rowsOf: (answer: Answer) => readonly Row[];
  /** What rows are ordered by, the largest on top. @default the order in which they came */
  orderOf?: (row: Row) => number;
}

/** How the beginning of the list stands. */
export type LiveListPhase = "loading" | "ready" | RequestError;

/** How long a sample counts towards the rate that is shown. */
const sampleWindowMs = 2_000;

/** See the module. */
export class LiveList<Row, Answer> {
  readonly #options: LiveListOptions<Row, Answer>;
  readonly #rows: ReturnType<typeof signal<LiveRows<Row>>>;
  readonly #phase = signal<LiveListPhase>("loading");
  readonly #answer = signal<Answer | undefined>(undefined);
  readonly #sampled = signal<Sampled | undefined>(undefined);
  #samples: (Sampled & { atMs: number })[] = [];
  #asking: AbortController | undefined;
  /** What the stream brings while the answer is on its way. */
  #meanwhile: Row[] = [];
  #path = "";
  #held = false;

  constructor(options: LiveListOptions<Row, Answer>) {
    this.#options = options;
    this.#rows = signal(new LiveRows<Row>({ key: options.key, orderOf: options.orderOf }));
  }

  /** The rows shown and waiting. */
  get rows(): ReadonlySignal<LiveRows<Row>> {
    return this.#rows as ReadonlySignal<LiveRows<Row>>;
  }

  /** Whether the beginning is there. */
  get phase(): ReadonlySignal<LiveListPhase> {
    return this.#phase;
  }

  /** The answer that the list began with. */
  get answer(): ReadonlySignal<Answer | undefined> {
    return this.#answer;
  }

  /** Rows a second that came and that matched, while some are left out. */
  get sampled(): ReadonlySignal<Sampled | undefined> {
    return this.#sampled;
  }

  /** Starts over with the answer of `path`. For the same path the rows shown stay until it is there, and beyond while they are held. */
  async load(path: string): Promise<void> {
    this.#asking?.abort();
    const asking = this.#asking = new AbortController();
    this.#meanwhile = [];
    if (path !== this.#path || this.#phase.peek() !== "ready") {
      this.#path = path;
      this.#phase.value = "loading";
    }
    try {
      const answer = await getJson<Answer>(path, { signal: asking.signal });
      const listed = this.#options.rowsOf(answer);
      const before = this.#rows.peek()!;
      // What is being read stays where it is: the rest waits, like everything that is new.
      const rows = this.#held && this.#phase.peek() === "ready"
        ? before.push(listed.toReversed(), true)
        : before.reset(listed);
      this.#rows.value = rows.push(this.#meanwhile, this.#held);
      this.#answer.value = answer;
      this.#phase.value = "ready";
    } catch (error) {
      if (asking.signal.aborted) return;
      if (!(error instanceof RequestError)) throw error;
      this.#phase.value = error;
    } finally {
      if (this.#asking === asking) {
        this.#asking = undefined;
        this.#meanwhile = [];
      }
    }
  }

  /** Takes what the stream brings, oldest first. */
  push(rows: readonly Row[], sampled: Sampled): void {
    this.#sample(sampled);
    // Also shown at once where the same list is only being refreshed.
    if (this.#asking) this.#meanwhile.push(...rows);
    if (this.#phase.peek() === "ready") {
      this.#rows.value = this.#rows.peek()!.push(rows, this.#held);
    }
  }

  /** Whether what is new waits. */
  get held(): boolean {
    return this.#held;
  }

  /** While held, nothing new is shown; it waits. */
  hold(held: boolean): void {
    this.#held = held;
    if (!held) this.release();
  }

  /** Shows what waits. */
  release(): void {
    this.#rows.value = this.#rows.peek()!.release();
  }

  /** Adds older rows. */
  append(rows: readonly Row[]): void {
    this.#rows.value = this.#rows.peek()!.append(rows);
  }

  /** Forgets everything. */
  clear(): void {
    this.#rows.value = this.#rows.peek()!.reset();
    this.#answer.value = undefined;
    this.#sampled.value = undefined;
    this.#samples = [];
  }

  #sample(sampled: Sampled): void {
    const atMs = Date.now();
    this.#samples = [
      ...this.#samples.filter((one) => one.atMs > atMs - sampleWindowMs),
      { ...sampled, atMs },
    ];
    const shown = this.#samples.reduce((sum, one) => sum + one.shown, 0);
    const seen = this.#samples.reduce((sum, one) => sum + one.seen, 0);
    const perSecond = 1e3 / sampleWindowMs;
    this.#sampled.value = seen > shown
      ? { shown: Math.round(shown * perSecond), seen: Math.round(seen * perSecond) }
      : undefined;
  }
}
