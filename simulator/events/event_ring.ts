/**
 * The last events that came in, as bytes. As objects, ten thousand events are some seventy thousand
 * things that live just long enough to be moved among the old ones before they are dropped, which
 * costs a garbage collector more than reading them did; as bytes they are a few buffers.
 *
 * @module
 */

/** An event as it is kept. */
export interface KeptEvent {
  /** Position, from 1. */
  readonly sequence: number;
  readonly client: number;
  /** When it came in, in milliseconds since the epoch. */
  readonly atMs: number;
  /** The JSON as it was received, on one line. */
  readonly json: string;
}

/** A piece of memory with events in it, one behind the other. */
interface Segment {
  readonly bytes: Uint8Array;
  /** Bytes that are written. */
  used: number;
  /** Events in it that are kept. */
  events: number;
}

const segmentBytes = 131_072;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Keeps events of ascending sequence; the oldest go first. */
export class EventRing {
  readonly #maxEvents: number;
  readonly #maxBytes: number;
  /** Oldest first; never empty. */
  readonly #segments: Segment[] = [emptySegment()];
  /** Segments that have been dropped: the number of the first of {@linkcode #segments}. */
  #dropped = 0;
  /** One that is empty, to be used again. */
  #spare: Segment | undefined;
  /** Of the event of sequence n, at n modulo their length: number of its segment, beginning and length there. */
  readonly #places: Uint32Array;
  readonly #starts: Uint32Array;
  readonly #lengths: Uint32Array;
  readonly #clients: Uint32Array;
  readonly #times: Float64Array;
  #oldest = 1;
  #newest = 0;
  #bytes = 0;

  /**
   * @param maxEvents events that are kept at most
   * @param maxBytes bytes of JSON that are kept at most; a single event with more is kept alone
   */
  constructor(maxEvents: number, maxBytes: number) {
    this.#maxEvents = maxEvents;
    this.#maxBytes = maxBytes;
    this.#places = new Uint32Array(maxEvents);
    this.#starts = new Uint32Array(maxEvents);
    this.#lengths = new Uint32Array(maxEvents);
    this.#clients = new Uint32Array(maxEvents);
    this.#times = new Float64Array(maxEvents);
  }

  /** Sequence of the newest event, 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Sequence of the oldest event that is kept. */
  get oldest(): number {
    return this.#oldest;
  }

  /** Adds an event, whose JSON has no half of a surrogate pair, and says its sequence. */
  add(client: number, atMs: number, json: string): number {
    if (this.#newest - this.#oldest + 1 >= this.#maxEvents) this.#forgetOldest();
    const { segment, start } = this.#write(json);
    const sequence = ++this.#newest;
    const slot = sequence % this.#maxEvents;
    this.#places[slot] = this.#dropped + this.#segments.length - 1;
    this.#starts[slot] = start;
    this.#lengths[slot] = segment.used - start;
    this.#clients[slot] = client;
    this.#times[slot] = atMs;
    segment.events++;
    this.#bytes += segment.used - start;
    while (this.#bytes > this.#maxBytes && this.#oldest < sequence) this.#forgetOldest();
    return sequence;
  }

  /** The event of that sequence, while it is kept. */
  get(sequence: number): KeptEvent | undefined {
    if (!(sequence >= this.#oldest && sequence <= this.#newest)) return undefined;
    const slot = sequence % this.#maxEvents;
    const { bytes } = this.#segments[this.#places[slot]! - this.#dropped]!;
    const start = this.#starts[slot]!;
    return {
      sequence,
      client: this.#clients[slot]!,
      atMs: this.#times[slot]!,
      json: decoder.decode(bytes.subarray(start, start + this.#lengths[slot]!)),
    };
  }

  #write(json: string): { segment: Segment; start: number } {
    const last = this.#segments.at(-1)!;
    const start = last.used;
    const { read, written } = encoder.encodeInto(json, last.bytes.subarray(start));
    if (read === json.length) {
      last.used += written;
      return { segment: last, start };
    }
    const bytes = encoder.encode(json);
    const segment = this.#segmentFor(bytes);
    this.#segments.push(segment);
    this.#dropEmpty();
    return { segment, start: 0 };
  }

  #segmentFor(bytes: Uint8Array): Segment {
    // What is larger than a segment is one by itself.
    if (bytes.length > segmentBytes) return { bytes, used: bytes.length, events: 0 };
    const segment = this.#spare ?? emptySegment();
    this.#spare = undefined;
    segment.bytes.set(bytes);
    segment.used = bytes.length;
    return segment;
  }

  #forgetOldest(): void {
    const slot = this.#oldest++ % this.#maxEvents;
    this.#bytes -= this.#lengths[slot]!;
    this.#segments[0]!.events--;
    this.#dropEmpty();
  }

  /** Drops segments at the beginning that have no event any more; the last one is written to. */
  #dropEmpty(): void {
    while (this.#segments.length > 1 && this.#segments[0]!.events === 0) {
      const segment = this.#segments.shift()!;
      this.#dropped++;
      if (segment.bytes.length === segmentBytes) this.#spare = { ...segment, used: 0 };
    }
  }
}

function emptySegment(): Segment {
  return { bytes: new Uint8Array(segmentBytes), used: 0, events: 0 };
}
