/**
 * For tests: what a broken disk does to an image.
 *
 * @module
 */
import { segmentsFolder } from "./segments/image_segments.ts";
import { readBatches, segmentNumbers, segmentPath } from "./segments/read_segments.ts";

/** Writes over the beginning of an image in the folder of a store. */
export async function damageImage(
  folder: string,
  sha256: string,
  bytes: Uint8Array,
): Promise<void> {
  const segments = segmentsFolder(folder);
  for (const number of await segmentNumbers(segments)) {
    const path = segmentPath(segments, number);
    for await (const { entries, offset } of readBatches(path, 0)) {
      let at = offset;
      for (const entry of entries) {
        if (entry.sha256 === sha256) return await writeAt(path, at, bytes);
        at += entry.bytes;
      }
    }
  }
  throw new Error(`There is no image ${sha256} to damage`);
}

async function writeAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true });
  await file.seek(offset, Deno.SeekMode.Start);
  await file.write(bytes);
}
