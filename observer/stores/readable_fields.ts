/**
 * Decodes a message of which a part may be spoilt: protobuf's decoders refuse the whole of it for one
 * text that is not UTF-8.
 *
 * @module
 */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { reasonOf } from "../../service/resilience.ts";

/** What could be read of a message. */
export interface Readable<Schema extends DescMessage> {
  readonly message: MessageShape<Schema>;
  /** The fields that could not, each with the reason: `repo_tags: …`. */
  readonly lost: readonly string[];
}

/**
 * Decodes what can be: a field that cannot is left out, each element of a repeated one by itself.
 *
 * @throws {Error} it is no protobuf message at all
 *
 * @example
 * ```ts
 * const { message, lost } = decodeReadable(ImageSchema, bytes);
 * ```
 */
export function decodeReadable<Schema extends DescMessage>(
  schema: Schema,
  bytes: Uint8Array,
): Readable<Schema> {
  try {
    return { message: fromBinary(schema, bytes), lost: [] };
  } catch {
    // Once more, field by field: a message's fields, one after the other, are messages of its kind.
  }
  const reader = new BinaryReader(bytes);
  const kept: Uint8Array[] = [];
  const lost: string[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    reader.skip(wireType, number);
    const field = bytes.subarray(start, reader.pos);
    try {
      fromBinary(schema, field);
      kept.push(field);
    } catch (error) {
      const name = schema.fields.find((one) => one.number === number)?.name ?? `field ${number}`;
      // All that a decoder says of such a text is that the data is not valid.
      lost.push(`${name}: ${error instanceof TypeError ? "it is not UTF-8" : reasonOf(error)}`);
    }
  }
  return { message: fromBinary(schema, joined(kept)), lost };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
