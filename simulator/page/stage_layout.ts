/**
 * Where sprites stand: each in a slot that it keeps while it lives, in a field of those with its
 * name. Fields grow by a quarter, so that a newcomer moves nobody but now and then all at once.
 *
 * @module
 */

/** A place in the stage's own measure; a cell is {@linkcode cell} wide and high. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** The room of a sprite with its label and words. */
export const cell = { width: 128, height: 92 } as const;
/** Room above a field for its name. */
const headHeight = 56;
const gap = 40;

/** All of one name. */
export interface Field {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly count: number;
  /** Slots in a row. */
  readonly columns: number;
}

interface Group {
  readonly name: string;
  /** The sprite of each slot; a hole where one has left. */
  readonly slots: (number | undefined)[];
  readonly slotOf: Map<number, number>;
  readonly free: number[];
}

/** Gives out places. */
export class StageLayout {
  readonly #groups = new Map<string, Group>();
  #fields: Field[] = [];
  #bounds: { width: number; height: number } = { ...cell };
  #stale = true;
  #aspect = 1.6;

  /** The stage's width over its height, as the room for it is; fields are arranged to fit. */
  setAspect(aspect: number): void {
    if (Math.abs(aspect - this.#aspect) < 0.05) return;
    this.#aspect = aspect;
    this.#stale = true;
  }

  /** Gives a sprite its slot; one that has one keeps it. */
  add(sprite: number, name: string): void {
    let group = this.#groups.get(name);
    if (!group) {
      group = { name, slots: [], slotOf: new Map(), free: [] };
      this.#groups.set(name, group);
      this.#stale = true;
    }
    if (group.slotOf.has(sprite)) return;
    const slot = group.free.pop() ?? group.slots.length;
    group.slots[slot] = sprite;
    group.slotOf.set(sprite, slot);
    // A field says how many it holds.
    this.#stale = true;
  }

  /** Frees a sprite's slot. */
  remove(sprite: number, name: string): void {
    const group = this.#groups.get(name);
    const slot = group?.slotOf.get(sprite);
    if (!group || slot === undefined) return;
    group.slotOf.delete(sprite);
    group.slots[slot] = undefined;
    group.free.push(slot);
    if (group.slotOf.size === 0) this.#groups.delete(name);
    // Most have left: those that stay move together once, as the room would make all small.
    else if (group.slotOf.size * 3 < group.slots.length) compact(group);
    this.#stale = true;
  }

  /** Removes everybody. */
  clear(): void {
    this.#groups.clear();
    this.#stale = true;
  }

  /** The fields, largest first. */
  get fields(): readonly Field[] {
    this.#arrange();
    return this.#fields;
  }

  /** How large the whole is. */
  get bounds(): { width: number; height: number } {
    this.#arrange();
    return this.#bounds;
  }

  /** The middle of a sprite's slot. */
  placeOf(sprite: number, name: string): Place | undefined {
    this.#arrange();
    const group = this.#groups.get(name);
    const slot = group?.slotOf.get(sprite);
    const field = this.#fieldOf.get(name);
    if (!field || slot === undefined) return undefined;
    const { columns } = field;
    return {
      x: field.x + (slot % columns + 0.5) * cell.width,
      y: field.y + headHeight + (Math.floor(slot / columns) + 0.5) * cell.height,
    };
  }

  readonly #fieldOf = new Map<string, Field>();

  /** Rows of fields, none wider than the largest or what the whole's area asks for. */
  #arrange(): void {
    if (!this.#stale) return;
    this.#stale = false;
    const sized = [...this.#groups.values()].map((group) => {
      const columns = columnsOf(group.slots.length, this.#aspect);
      const rows = Math.ceil(capacityOf(group.slots.length) / columns);
      return {
        name: group.name,
        count: group.slotOf.size,
        columns,
        width: columns * cell.width,
        height: headHeight + rows * cell.height,
      };
    }).sort((a, b) => b.width * b.height - a.width * a.height || (a.name < b.name ? -1 : 1));
    let best: Field[] = [];
    let bestScale = 0;
    for (const rowWidth of rowWidthsOf(sized, this.#aspect)) {
      const placed = inRows(sized, rowWidth);
      const bounds = boundsOf(placed);
      const scale = Math.min(this.#aspect / bounds.width, 1 / bounds.height);
      if (scale <= bestScale) continue;
      best = placed;
      bestScale = scale;
    }
    this.#fields = best;
    this.#bounds = boundsOf(best);
    this.#fieldOf.clear();
    for (const field of best) this.#fieldOf.set(field.name, field);
  }
}

function compact(group: Group): void {
  const staying = group.slots.filter((sprite) => sprite !== undefined);
  group.slots.splice(0, group.slots.length, ...staying);
  group.free.length = 0;
  for (const [slot, sprite] of staying.entries()) group.slotOf.set(sprite, slot);
}

type Sized = Omit<Field, "x" | "y">;

/** Widths worth trying: from the widest field to all in one row, about what the area asks for. */
function rowWidthsOf(fields: readonly Sized[], aspect: number): number[] {
  const widest = Math.max(0, ...fields.map(({ width }) => width));
  const area = fields.reduce((sum, { width, height }) => sum + (width + gap) * (height + gap), 0);
  const wanted = Math.sqrt(area * aspect);
  return [0.8, 1, 1.15, 1.3, 1.5, 1.8].map((share) => Math.max(widest, wanted * share));
}

/** Field after field, a new row where the width is used up. */
function inRows(fields: readonly Sized[], rowWidth: number): Field[] {
  let [x, y, rowHeight] = [0, 0, 0];
  return fields.map((field) => {
    if (x > 0 && x + field.width > rowWidth) {
      y += rowHeight + gap;
      x = 0;
      rowHeight = 0;
    }
    const placed = { ...field, x, y };
    x += field.width + gap;
    rowHeight = Math.max(rowHeight, field.height);
    return placed;
  });
}

function boundsOf(fields: readonly Field[]): { width: number; height: number } {
  return {
    width: Math.max(cell.width, ...fields.map(({ x, width }) => x + width)),
    height: Math.max(cell.height, ...fields.map(({ y, height }) => y + height)),
  };
}

/** Slots are added by a quarter, so that the arrangement seldom changes and little room is unused. */
function capacityOf(slots: number): number {
  let capacity = 1;
  while (capacity < slots) capacity = Math.ceil(capacity * 1.25);
  return capacity;
}

function columnsOf(slots: number, aspect: number): number {
  const capacity = capacityOf(slots);
  const columns = Math.ceil(Math.sqrt(capacity * aspect * cell.height / cell.width));
  return Math.min(capacity, Math.max(1, columns));
}

/** The part of the stage that is in sight. */
export interface View {
  /** What of the stage is in the middle. */
  readonly x: number;
  readonly y: number;
  /** Pixels a unit of the stage. */
  readonly scale: number;
}

/** The view that shows all of it. */
export function fitView(
  bounds: { width: number; height: number },
  room: { width: number; height: number },
): View {
  const margin = Math.min(48, room.width / 12);
  const scale = Math.min(
    1.25,
    Math.max(1, room.width - 2 * margin) / bounds.width,
    Math.max(1, room.height - 2 * margin) / bounds.height,
  );
  return { x: bounds.width / 2, y: bounds.height / 2, scale };
}

/** The same view, larger or smaller about a point of the screen that stays where it is. */
export function zoomView(
  view: View,
  factor: number,
  at: { x: number; y: number },
  room: { width: number; height: number },
): View {
  const scale = Math.min(4, Math.max(0.005, view.scale * factor));
  const stageX = view.x + (at.x - room.width / 2) / view.scale;
  const stageY = view.y + (at.y - room.height / 2) / view.scale;
  return {
    x: stageX - (at.x - room.width / 2) / scale,
    y: stageY - (at.y - room.height / 2) / scale,
    scale,
  };
}

/** How much is drawn of a sprite at this scale. */
export function detailAt(scale: number, sprites: number): "sprites" | "dots" | "density" {
  if (scale >= 0.36 || (sprites <= 200 && scale >= 0.25)) return "sprites";
  return scale * cell.width >= 5 || sprites <= 2_000 ? "dots" : "density";
}
