/**
 * A queue in a circular array: adding at the end and removing at the front cost the same however
 * long it is, which neither an array nor a Map's first key give.
 *
 * @module
 */

/**
 * First in, first out, with access by place. It grows as needed: its owner enforces the limit.
 *
 * @example
 * ```ts
 * const ring = new Ring<string>();
 * ring.push("first");
 * ring.push("second");
 * ring.shift(); // "first"
 * ring.at(-1); // "second"
 * ```
 */
export class Ring<Item> {
  #slots: (Item | undefined)[] = new Array(16);
  #first = 0;
  #length = 0;

  /** How many items are in it. */
  get length(): number {
    return this.#length;
  }

  /** Adds an item at the end. */
  push(item: Item): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#first + this.#length) & (this.#slots.length - 1)] = item;
    this.#length++;
  }

  /** Takes the item at the front, the oldest. */
  shift(): Item | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#first];
    this.#slots[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#slots.length - 1);
    this.#length--;
    return item;
  }

  /** The item at a place; 0 is the oldest, -1 the newest. */
  at(place: number): Item | undefined {
    const index = place < 0 ? this.#length + place : place;
    if (index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#first + index) & (this.#slots.length - 1)];
  }

  /** Puts another item in the newest one's place. */
  replaceLast(item: Item): void {
    if (this.#length === 0) throw new RangeError("Cannot replace the last item of an empty ring");
    this.#slots[(this.#first + this.#length - 1) & (this.#slots.length - 1)] = item;
  }

  /** Oldest first. */
  *[Symbol.iterator](): Generator<Item> {
    for (let place = 0; place < this.#length; place++) yield this.at(place)!;
  }

  /** Newest first. */
  *newestFirst(): Generator<Item> {
    for (let place = this.#length - 1; place >= 0; place--) yield this.at(place)!;
  }

  /** Forgets all items. */
  clear(): void {
    this.#slots = new Array(16);
    this.#first = 0;
    this.#length = 0;
  }

  // The length stays a power of two, so that a place wraps round by a mask.
  #grow(): void {
    const slots: (Item | undefined)[] = new Array(this.#slots.length * 2);
    for (let place = 0; place < this.#length; place++) slots[place] = this.at(place);
    this.#slots = slots;
    this.#first = 0;
  }
}
