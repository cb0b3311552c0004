/**
 * `observer list`: the images of all stores as a table, or as JSON.
 *
 * @module
 */
import { imageName, type ImageView, imageView, type StoreView, storeView } from "./api.ts";
import type { StoreState } from "./stores/store_watch.ts";

/** A store with its images. */
export interface ListedStore extends Omit<StoreView, "history"> {
  readonly images: readonly ImageView[];
}

/** Everything seen, in a form for `JSON.stringify`. */
export function listedStores(states: readonly StoreState[]): ListedStore[] {
  return states.map((state) => {
    const { history: _, ...view } = storeView(state);
    const { inventory } = state;
    const images = inventory?.images ?? [];
    return {
      ...view,
      images: images.map((image) => imageView(image, inventory!.firstSeenMs.get(image.id)!)),
    };
  });
}

/** The same for people: one line an image, names and sizes as the page shows them. */
export function listTable(stores: readonly ListedStore[], nowMs: number): string {
  return stores.map((store) => {
    const { id, runtime, simulated, up, reason, images } = store;
    const name = runtime ? ` (${runtime.name} ${runtime.version})` : "";
    const title = `${printable(id + name)}${simulated ? " [simulated]" : ""}`;
    if (!up) return `${title}\n  not readable: ${printable(reason ?? "not observed yet")}\n`;
    const problems = (store.seen?.problems ?? []).map((one) =>
      `  in part only: ${printable(one)}\n`
    )
      .join("");
    if (images.length === 0) return `${title}\n  no images\n${problems}`;
    const rows = images.map(({ id, tags, digests, sizeBytes, importedAtMs, pinned }) => [
      printable(tags.join(", ") || imageName({ id, tags, digests })),
      printable(shortId(id)),
      sizeBytes === undefined ? "-" : sizeText(sizeBytes),
      importedAtMs === undefined ? "-" : ageText(nowMs - importedAtMs),
      pinned ? "pinned" : "",
    ]);
    const head = ["IMAGE", "ID", "SIZE", "AGE", "PINNED"];
    const widths = head.map((title, column) =>
      Math.max(title.length, ...rows.map((row) => row[column]!.length))
    );
    const lines = [head, ...rows].map((row) =>
      `  ${
        row.map((cell, column) =>
          column === 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
        )
          .join("  ").trimEnd()
      }`
    );
    const total = images.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
    return `${title}\n${lines.join("\n")}\n  ${images.length} images, ${
      sizeText(total)
    }\n${problems}`;
  }).join("\n");
}

function shortId(id: string): string {
  const [, algorithm = "", hex = ""] = /^(sha\d+[:-])?(.*)$/.exec(id) ?? [];
  return algorithm + hex.slice(0, 12);
}

function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** Names come from outside: nothing of them may steer the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, "\ufffd");
}
