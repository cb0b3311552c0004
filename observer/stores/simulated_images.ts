/**
 * A small store of images that do not exist: it changes a little with each step, and a seed gives
 * the same changes each time.
 *
 * @module
 */

/** An image of the store. */
export interface SimulatedImage {
  /** 64 hexadecimal digits. */
  readonly digest: string;
  readonly name: string;
  readonly tag: string;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly importedAtMs: number;
  readonly pinned: boolean;
}

const names = [
  ...["pause", "gateway", "orb-firmware", "orb-server", "signer", "payments", "inventory"],
  ...["search", "mailer", "thumbnailer", "metrics-agent", "log-shipper", "postgres", "redis"],
  ...["kafka", "minio", "nginx", "backup", "ledger", "scheduler"],
];

const mebibyte = 1024 ** 2;

/** Options of {@linkcode SimulatedImages}. */
export interface SimulatedImagesOptions {
  /** Images at the start. */
  count: number;
  /** The same seed, the same images and changes. @default 1 */
  seed?: number;
  /** The wall clock now, in milliseconds since the epoch: images were imported in the 30 days before. */
  nowMs: number;
}

/** Holds the images. */
export class SimulatedImages {
  readonly #random: () => number;
  #images: SimulatedImage[] = [];
  #made = 0;
  readonly #usual: number;

  /** Makes `count` images; the first is pinned, as a runtime's pause image is. */
  constructor({ count, seed = 1, nowMs }: SimulatedImagesOptions) {
    this.#random = randomNumbers(seed);
    this.#usual = count;
    while (this.#images.length < count) {
      this.#images.push(this.#make(nowMs - Math.floor(this.#random() * 30 * 86_400_000)));
    }
  }

  /** The images as they are now. */
  get images(): readonly SimulatedImage[] {
    return this.#images;
  }

  /** Bytes and inodes that all of them use. */
  get usage(): { bytes: number; inodes: number } {
    const bytes = this.#images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { bytes, inodes: this.#images.length * 1_200 };
  }

  /** One pull or one removal, so that the number stays about the same. Returns what happened. */
  change(nowMs: number): { added?: SimulatedImage; removed?: SimulatedImage } {
    const surplus = this.#images.length - this.#usual;
    if (this.#images.length < 2 || this.#random() < 0.5 - surplus * 0.1) {
      const added = this.#make(nowMs);
      this.#images = [...this.#images, added];
      return { added };
    }
    const index = 1 + Math.floor(this.#random() * (this.#images.length - 1));
    const removed = this.#images[index]!;
    this.#images = this.#images.toSpliced(index, 1);
    return { removed };
  }

  #make(importedAtMs: number): SimulatedImage {
    const number = this.#made++;
    const digest = Array.from(
      { length: 8 },
      () => Math.floor(this.#random() * 2 ** 32).toString(16).padStart(8, "0"),
    ).join("");
    return {
      digest,
      name: `example.com/${names[number % names.length]}`,
      tag: number === 0 ? "3.10" : `1.${Math.floor(number / names.length)}.${number}`,
      sizeBytes: number === 0 ? 300_000 : Math.floor((5 + this.#random() * 400) * mebibyte),
      importedAtMs,
      pinned: number === 0,
    };
  }
}

/** Mulberry32: its sequence is what a seed has stood for since the first release. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return function random(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
