/**
 * Decodes lists of images, and only those images that the poll before did not have byte by byte:
 * a store of 20,000 that has hardly changed costs next to no memory and time.
 *
 * @module
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { reasonOf } from "../../service/resilience.ts";
import type { StoreImage } from "./image_store.ts";
import { decodeReadable } from "./readable_fields.ts";

/** What came of the bytes of one image. */
export interface ReadImage {
  /** `undefined` where nothing can be made of them. */
  readonly image: StoreImage | undefined;
  /** What of it could not be read, a sentence each. */
  readonly lost: readonly string[];
}

/** The images of a poll. */
export interface ReadImages {
  readonly images: StoreImage[];
  /** How much could not be read, of images or whole ones. */
  readonly unreadable: number;
  /** Says of the first of it what it is. */
  readonly problems: readonly string[];
}

/** An image with the bytes that it came in. */
interface Known {
  readonly bytes: Uint8Array;
  readonly read: ReadImage;
}

/** Decodes one image; what is spoilt of it is left out, and an image without an id altogether. */
export function readImage<Schema extends DescMessage>(
  schema: Schema,
  bytes: Uint8Array,
  toImage: (message: MessageShape<Schema>) => StoreImage,
): ReadImage {
  try {
    const { message, lost } = decodeReadable(schema, bytes);
    const image = toImage(message);
    const known = image.id === ""
      ? "An image without a readable id is left out"
      : image.id.slice(0, 100);
    if (image.id !== "") return { image, lost: lost.map((reason) => `${known}, ${reason}`) };
    return { image: undefined, lost: [lost.length > 0 ? `${known}, ${lost[0]}` : known] };
  } catch (error) {
    return { image: undefined, lost: [`An image is left out: ${reasonOf(error)}`] };
  }
}

/** What the poll before had. */
export class KnownImages {
  readonly #decode: (bytes: Uint8Array) => ReadImage;
  #known = new Map<number, Known>();

  constructor(decode: (bytes: Uint8Array) => ReadImage) {
    this.#decode = decode;
  }

  /** The images of a whole poll, in their order. */
  read(parts: Iterable<Uint8Array>): ReadImages {
    const known = new Map<number, Known>();
    const images: StoreImage[] = [];
    let unreadable = 0;
    let firstLost: string | undefined;
    for (const bytes of parts) {
      const key = headHash(bytes);
      const before = this.#known.get(key);
      const read = before !== undefined && isEqual(before.bytes, bytes)
        ? before.read
        : this.#decode(bytes);
      if (read.image) images.push(read.image);
      unreadable += read.lost.length;
      firstLost ??= read.lost[0];
      known.set(key, { bytes, read });
    }
    this.#known = known;
    const problems = firstLost === undefined
      ? []
      : [`The list has ${unreadable} values that cannot be read; the first: ${firstLost}`];
    return { images, unreadable, problems };
  }
}

/** An id stands within the first bytes; two images with one hash are decoded anew each time. */
const headBytes = 96;

/** FNV-1a. */
function headHash(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  const end = Math.min(bytes.length, headBytes);
  for (let at = 0; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash >>> 0;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
