/**
 * A list of rows as a tree (the tree pattern of the ARIA Authoring Practices): where each row is among
 * its siblings, and what the arrows do that fold and unfold.
 *
 * @module
 */

/** Where a row is in its tree. */
export interface TreePlace {
  /** From 1. */
  readonly level: number;
  /** From 1, among the rows of the same parent. */
  readonly position: number;
  /** How many those are. */
  readonly setSize: number;
  /** Index of its parent's row; undefined at the top. */
  readonly parent: number | undefined;
}

/**
 * The places of rows that come depth first.
 *
 * @param levels of the rows, from 1; one that skips some is a child of the nearest row above it
 *
 * @example
 * ```ts
 * treePlaces([1, 2, 2, 1])[2]; // { level: 2, position: 2, setSize: 2, parent: 0 }
 * ```
 */
export function treePlaces(levels: readonly number[]): TreePlace[] {
  interface Siblings {
    level: number;
    parent: number | undefined;
    count: number;
  }
  const sets: Siblings[] = [];
  const found: { set: Siblings; position: number }[] = [];
  const open: Siblings[] = [];
  levels.forEach((level, i) => {
    while (open.length > 0 && open.at(-1)!.level > level) open.pop();
    let set = open.at(-1);
    if (set === undefined || set.level < level) {
      set = { level, parent: set === undefined ? undefined : i - 1, count: 0 };
      sets.push(set);
      open.push(set);
    }
    found.push({ set, position: ++set.count });
  });
  return found.map(({ set, position }) => ({
    level: set.level,
    position,
    setSize: set.count,
    parent: set.parent,
  }));
}

/** What a key does at a row: unfolds or folds it, or goes to another one. */
export type TreeStep = { readonly unfold: boolean } | { readonly to: number };

/**
 * What the right and left arrow do; undefined for other keys, and where there is nothing to do.
 *
 * @param expanded whether what is below the row is shown; undefined where there is nothing below it
 */
export function treeStep(
  key: string,
  index: number,
  { places, expanded }: { places: readonly TreePlace[]; expanded: boolean | undefined },
): TreeStep | undefined {
  if (key === "ArrowRight") {
    if (expanded === false) return { unfold: true };
    const below = places[index + 1];
    return below !== undefined && below.parent === index ? { to: index + 1 } : undefined;
  }
  if (key !== "ArrowLeft") return undefined;
  if (expanded === true) return { unfold: false };
  const parent = places[index]?.parent;
  return parent === undefined ? undefined : { to: parent };
}
