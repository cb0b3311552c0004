/**
 * What came of the pings: counts, round-trip times and their distribution, in memory that does
 * not grow with their number.
 *
 * @module
 */

/** The figures of a run; times in milliseconds, `undefined` where no ping was measured. */
export interface PingSummary {
  /** Pings sent, each counted once however often it was sent again. */
  sent: number;
  /** Pings answered, each counted once. */
  received: number;
  /** Pings that were given up: sent, and not answered in time. */
  lost: number;
  /** `lost` of `sent`, 0 to 1. */
  lossRatio: number;
  /** Answers beyond the first. */
  duplicated: number;
  /** Answers that came after the answer to a later ping. */
  reordered: number;
  /** Answers to pings that had been given up already; those stay lost. */
  late: number;
  /** Answered pings that had to be sent again or whose answer waited in the mailbox; not measured. */
  recovered: number;
  /** Times there was no connection after there had been one. */
  outages: number;
  /** How long that was in sum, in milliseconds. */
  outageMs: number;
  /** Round-trip times. */
  rttMs?: {
    min: number;
    avg: number;
    max: number;
    /** The standard deviation, as ping's mdev. */
    mdev: number;
    p50: number;
    p90: number;
    p99: number;
    /** The smoothed difference of one round trip to the next (RFC 3550, section 6.4.1). */
    jitter: number;
  };
}

/** Sub-buckets of each power of two: percentiles are right to 1/128. */
const subBuckets = 64;

/** Counts of values by size, in buckets whose width grows with the value. */
export class Histogram {
  readonly #counts = new Map<number, number>();
  #count = 0;

  /** Adds a value above 0. */
  add(value: number): void {
    const bucket = bucketOf(value);
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
    this.#count++;
  }

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** The value that so much (0 to 1) of all values is at most. */
  quantile(part: number): number {
    const rank = Math.max(1, Math.ceil(part * this.#count));
    let seen = 0;
    for (const bucket of [...this.#counts.keys()].sort((a, b) => a - b)) {
      seen += this.#counts.get(bucket)!;
      if (seen >= rank) return middleOf(bucket);
    }
    return NaN;
  }

  /** Between what all values lie; undefined where there is none. */
  range(): [fromMs: number, toMs: number] | undefined {
    if (this.#count === 0) return undefined;
    const buckets = [...this.#counts.keys()];
    return [lowerOf(Math.min(...buckets)), lowerOf(Math.max(...buckets) + 1)];
  }

  /**
   * How many values lie in each of `rows` intervals of equal ratio.
   *
   * @param within so that several can be compared. @default from the least to the greatest
   */
  rows(rows: number, within = this.range()): { fromMs: number; toMs: number; count: number }[] {
    if (within === undefined) return [];
    const buckets = [...this.#counts];
    const [low, high] = within;
    const ratio = (high / low) ** (1 / rows);
    return Array.from({ length: rows }, (_, row) => {
      const [fromMs, toMs] = [low * ratio ** row, low * ratio ** (row + 1)];
      const count = buckets
        .filter(([bucket]) => middleOf(bucket) >= fromMs && middleOf(bucket) < toMs)
        .reduce((sum, [, count]) => sum + count, 0);
      return { fromMs, toMs, count };
    });
  }
}

function bucketOf(value: number): number {
  const exponent = Math.floor(Math.log2(value));
  return exponent * subBuckets + Math.floor((value / 2 ** exponent - 1) * subBuckets);
}

function lowerOf(bucket: number): number {
  const exponent = Math.floor(bucket / subBuckets);
  return 2 ** exponent * (1 + (bucket - exponent * subBuckets) / subBuckets);
}

function middleOf(bucket: number): number {
  return (lowerOf(bucket) + lowerOf(bucket + 1)) / 2;
}

/**
 * Counts what happens to pings.
 *
 * @example
 * ```ts
 * const statistics = new PingStatistics();
 * statistics.sent();
 * statistics.answered(0, 0.21);
 * statistics.summary().rttMs?.p50; // 0.21
 * ```
 */
export class PingStatistics {
  /** Of the measured round trips. */
  readonly histogram = new Histogram();
  #sent = 0;
  #received = 0;
  #lost = 0;
  #duplicated = 0;
  #reordered = 0;
  #late = 0;
  #recovered = 0;
  #outages = 0;
  #outageMs = 0;
  #measured = 0;
  #sum = 0;
  #sumOfSquares = 0;
  #min = Infinity;
  #max = 0;
  #last: number | undefined;
  #jitter = 0;
  #highestAnswered = -1;

  /** A ping has been sent for the first time. */
  sent(): void {
    this.#sent++;
  }

  /** A ping has been answered for the first time. One that was sent again has no round-trip time. */
  answered(seq: number, rttMs: number | undefined): void {
    this.#received++;
    if (seq < this.#highestAnswered) this.#reordered++;
    else this.#highestAnswered = seq;
    if (rttMs === undefined) this.#recovered++;
    else this.#measure(Math.max(rttMs, 1e-6));
  }

  /** A ping has been given up. */
  lost(): void {
    this.#lost++;
  }

  /** A ping that had been answered is answered again. */
  duplicated(): void {
    this.#duplicated++;
  }

  /** A ping that had been given up is answered. */
  late(): void {
    this.#late++;
  }

  /** There was no connection for so long, after there had been one. */
  outage(durationMs: number): void {
    this.#outages++;
    this.#outageMs += durationMs;
  }

  /** The figures so far. */
  summary(): PingSummary {
    const avg = this.#sum / this.#measured;
    const variance = this.#sumOfSquares / this.#measured - avg * avg;
    return {
      sent: this.#sent,
      received: this.#received,
      lost: this.#lost,
      lossRatio: this.#sent === 0 ? 0 : this.#lost / this.#sent,
      duplicated: this.#duplicated,
      reordered: this.#reordered,
      late: this.#late,
      recovered: this.#recovered,
      outages: this.#outages,
      outageMs: this.#outageMs,
      ...(this.#measured > 0 && {
        rttMs: {
          min: this.#min,
          avg,
          max: this.#max,
          mdev: Math.sqrt(Math.max(0, variance)),
          p50: this.#clamp(this.histogram.quantile(0.5)),
          p90: this.#clamp(this.histogram.quantile(0.9)),
          p99: this.#clamp(this.histogram.quantile(0.99)),
          jitter: this.#jitter,
        },
      }),
    };
  }

  #measure(rttMs: number): void {
    this.#measured++;
    this.#sum += rttMs;
    this.#sumOfSquares += rttMs * rttMs;
    this.#min = Math.min(this.#min, rttMs);
    this.#max = Math.max(this.#max, rttMs);
    if (this.#last !== undefined) {
      this.#jitter += (Math.abs(rttMs - this.#last) - this.#jitter) / 16;
    }
    this.#last = rttMs;
    this.histogram.add(rttMs);
  }

  /** A bucket's middle may lie beyond all that was measured. */
  #clamp(value: number): number {
    return Math.min(Math.max(value, this.#min), this.#max);
  }
}
