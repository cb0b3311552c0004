/**
 * Appends to a segment, durably.
 *
 * A file that grows costs more than its own sync: its new length and blocks go through the file
 * system's journal first, which whoever else syncs waits for, too. So space is written with zeros
 * ahead, a mebibyte at a time, and small batches overwrite that: on ext4 a batch of 18 kB then takes
 * 0.1 ms instead of 0.4 (median; bench/README.md). Batches that are large pay for themselves.
 *
 * @module
 */

/** What to append. */
export interface Append {
  /** Where it goes. */
  readonly offset: number;
  /** Up to where zeros were written ahead, or the file's end. */
  readonly reservedEnd: number;
  readonly parts: readonly Uint8Array[];
}

/** Parts up to this size are written together. */
const joinedBytes = 65_536;
/** Zeros that are written ahead. */
const reservedBytes = 1024 ** 2;
/** What is larger is appended as it is: zeros ahead would be as much to write again. */
const maxReservingBytes = 262_144;

/**
 * Appends, and waits for the disk. Opened anew each time: so a file that was deleted meanwhile is
 * noticed, and nothing is left open.
 *
 * @returns up to where zeros are written ahead now
 */
export async function appendSynced(
  path: string,
  { offset, reservedEnd, parts }: Append,
): Promise<number> {
  const bytes = parts.reduce((sum, { length }) => sum + length, 0);
  const end = offset + bytes;
  using file = await Deno.open(path, { write: true });
  // It waits for no disk.
  file.seekSync(offset, Deno.SeekMode.Start);
  for (const part of joinedParts(parts)) await writeAll(file, part);
  const isReserved = end > reservedEnd && bytes <= maxReservingBytes && await reserve(file, end);
  await file.syncData();
  return isReserved ? end + reservedBytes : Math.max(end, reservedEnd);
}

/** On a disk that is full for that there may be room for the images themselves. */
async function reserve(file: Deno.FsFile, end: number): Promise<boolean> {
  try {
    await writeAll(file, new Uint8Array(reservedBytes));
    return true;
  } catch {
    await file.truncate(end);
    return false;
  }
}

/** Takes back what is half written, and the zeros: on a full disk space is what is missing. */
export async function cutOff(path: string, length: number): Promise<void> {
  // The write's own error is what is told.
  await Deno.truncate(path, length).catch(() => {});
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
}

/** Small ones are written together. */
function* joinedParts(parts: readonly Uint8Array[]): Iterable<Uint8Array> {
  let small: Uint8Array[] = [];
  let length = 0;
  const joined = () => {
    const whole = new Uint8Array(length);
    let at = 0;
    for (const part of small) {
      whole.set(part, at);
      at += part.length;
    }
    [small, length] = [[], 0];
    return whole;
  };
  for (const part of parts) {
    if (part.length <= joinedBytes && length + part.length <= 4 * joinedBytes) {
      small.push(part);
      length += part.length;
      continue;
    }
    if (length > 0) yield joined();
    yield part;
  }
  if (length > 0) yield joined();
}
