/**
 * A snapshot in which each image and each mount point is there once, whatever a runtime says: a
 * second series with the same labels would be dropped by Prometheus without a word.
 *
 * @module
 */
import type { StoreImage, StoreSnapshot } from "./image_store.ts";

/** The snapshot without doubles, and with a problem for them; itself if it has none. */
export function uniqueSnapshot(snapshot: StoreSnapshot): StoreSnapshot {
  const images = new Map<string, StoreImage>();
  for (const image of snapshot.images) {
    const before = images.get(image.id);
    images.set(image.id, before ? merged(before, image) : image);
  }
  // The first counts: of what a file system has in use no sum would be true.
  const filesystems = new Map(
    snapshot.filesystems.toReversed().map((use) => [use.mountpoint, use]),
  );
  const problems = [
    ...twice(snapshot.images.length - images.size, "image", "their names are joined"),
    ...twice(snapshot.filesystems.length - filesystems.size, "mount point", "the first counts"),
  ];
  if (problems.length === 0) return snapshot;
  return {
    ...snapshot,
    images: [...images.values()],
    filesystems: [...filesystems.values()].reverse(),
    problems: [...snapshot.problems, ...problems],
  };
}

function twice(doubles: number, what: string, handling: string): string[] {
  if (doubles === 0) return [];
  return [`The runtime lists ${what}s twice, ${doubles} times in all: ${handling}.`];
}

function merged(a: StoreImage, b: StoreImage): StoreImage {
  return {
    id: a.id,
    tags: [...new Set([...a.tags, ...b.tags])],
    digests: [...new Set([...a.digests, ...b.digests])],
    sizeBytes: a.sizeBytes ?? b.sizeBytes,
    importedAtMs: a.importedAtMs ?? b.importedAtMs,
    pinned: a.pinned || b.pinned,
  };
}
