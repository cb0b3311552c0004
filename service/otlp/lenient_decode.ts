/**
 * The slow way to read a request that could not be read in one go: what is broken costs itself and
 * not the batch. A span, a record, a point that cannot be read is refused by name; an attribute, an
 * event, a link is left out; only a request whose frame is broken is refused whole.
 *
 * @module
 */
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  mergeFromBinary,
  mergeFromJson,
  type Message,
} from "@bufbuild/protobuf";
import { BinaryReader, getTextEncoding, WireType } from "@bufbuild/protobuf/wire";
import { configureTextEncoding } from "@bufbuild/protobuf/wire";

/** What of a request could not be read. */
export class Unreadable {
  /** Items refused. */
  refused = 0;
  /** Why the first of them was, with its name if that could be read. */
  example: { reason: string; name: string } | undefined;
  /** Attributes, events, links and the like that were left out of items that are there. */
  leftOut = 0;

  /** What the sender is answered; undefined when all could be read. */
  refusal(): { count: number; message: string } | undefined {
    if (this.example === undefined) return undefined;
    const { reason, name } = this.example;
    const first = name === "" ? "" : ` (first: ${JSON.stringify(name)})`;
    return { count: this.refused, message: `${this.refused} malformed: ${reason}${first}` };
  }

  /** Counts an item. */
  refuse(reason: string, name: string): void {
    this.refused++;
    this.example ??= { reason: reason.slice(0, 300), name: name.slice(0, 200) };
  }
}

/** Fields that hold what is sent: one of them that cannot be read is refused and reported. */
const itemFields = new Set(["spans", "log_records", "metrics", "data_points"]);
/** Fields that hold the above: one of them that cannot be read breaks the request. */
const frameFields = new Set([
  "resource_spans",
  "resource_logs",
  "resource_metrics",
  "scope_spans",
  "scope_logs",
  "scope_metrics",
]);
/** Single messages that an item can do without. */
const optionalFields = new Set(["body", "status"]);

/** Deeper than request, resource, scope, metric, kind, point, attribute, value nothing is worth a second look. */
const maxDepth = 10;

/** How a message is read: whole, or by its fields. Both encodings have the same rules. */
interface Form<Source> {
  whole(desc: DescMessage, source: Source): Message;
  /** The fields of a message, lists as their elements; what is no message is put into `target`. */
  fields(
    desc: DescMessage,
    source: Source,
    target: Message,
  ): Iterable<{ field: DescField; source: Source }>;
  /** A name to be found by; empty if there is none. */
  nameOf(desc: DescMessage, source: Source): string;
}

/**
 * Reads what can be read of a request.
 *
 * @throws when its frame is broken: then there is nothing to keep
 *
 * @example
 * ```ts
 * const unreadable = new Unreadable();
 * const message = lenientJson(ExportTraceServiceRequestSchema, json, unreadable);
 * if (unreadable.refused > 0) console.log(unreadable.example);
 * ```
 */
export function lenientJson(schema: DescMessage, json: unknown, unreadable: Unreadable): Message {
  return read(jsonForm, schema, json as JsonValue, unreadable, 0);
}

/** The same of protobuf's binary form; bytes that are not UTF-8 become U+FFFD. */
export function lenientBinary(
  schema: DescMessage,
  bytes: Uint8Array,
  unreadable: Unreadable,
): Message {
  const strict = getTextEncoding();
  // The library has no option for it. All is done before anybody else has a turn.
  configureTextEncoding({ ...strict, decodeUtf8: (bytes) => strict.decodeUtf8(bytes) });
  try {
    return read(binaryForm, schema, bytes, unreadable, 0);
  } finally {
    configureTextEncoding(strict);
  }
}

function read<Source>(
  form: Form<Source>,
  desc: DescMessage,
  source: Source,
  unreadable: Unreadable,
  depth: number,
): Message {
  try {
    return form.whole(desc, source);
  } catch (error) {
    if (depth >= maxDepth) throw error;
  }
  const target = create(desc);
  for (const { field, source: inner } of form.fields(desc, source, target)) {
    const { name, message } = field as DescField & { message: DescMessage };
    const refusedBefore = unreadable.refused;
    try {
      setField(target, field, read(form, message, inner, unreadable, depth + 1));
    } catch (error) {
      if (field.fieldKind === "list" && itemFields.has(name)) {
        unreadable.refused = refusedBefore;
        const reason = error instanceof Error ? error.message : String(error);
        unreadable.refuse(reason, form.nameOf(message, inner));
      } else if (
        optionalFields.has(name) || (field.fieldKind === "list" && !frameFields.has(name))
      ) {
        unreadable.leftOut++;
      } else throw error;
    }
  }
  return target;
}

// deno-lint-ignore no-explicit-any -- the fields of any message, by their names
type AnyFields = Record<string, any>;

function setField(target: Message, field: DescField, value: Message): void {
  const fields = target as unknown as AnyFields;
  if (field.fieldKind === "list") fields[field.localName].push(value);
  else if (field.oneof) fields[field.oneof.localName] = { case: field.localName, value };
  else fields[field.localName] = value;
}

function isMessageField(field: DescField): boolean {
  return field.fieldKind === "message" ||
    (field.fieldKind === "list" && field.listKind === "message");
}

const jsonOptions = { ignoreUnknownFields: true };

const jsonForm: Form<JsonValue> = {
  whole: (desc, json) => fromJson(desc, json, jsonOptions),
  *fields(desc, json, target) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new TypeError(`expected a ${desc.name}, got ${shortJson(json)}`);
    }
    for (const [key, value] of Object.entries(json)) {
      const field = desc.fields.find((one) => one.jsonName === key || one.name === key);
      if (field === undefined || value === null) continue;
      if (!isMessageField(field)) mergeFromJson(desc, target, { [key]: value }, jsonOptions);
      else if (field.fieldKind !== "list") yield { field, source: value };
      else if (Array.isArray(value)) { for (const one of value) yield { field, source: one }; }
      else throw new TypeError(`expected a list of ${field.name}, got ${shortJson(value)}`);
    }
  },
  nameOf(_, json) {
    const name = (json as { name?: unknown } | null)?.name;
    return typeof name === "string" ? name : "";
  },
};

function shortJson(json: JsonValue): string {
  return (JSON.stringify(json) ?? "nothing").slice(0, 40);
}

const binaryOptions = { readUnknownFields: false };

const binaryForm: Form<Uint8Array> = {
  whole: (desc, bytes) => fromBinary(desc, bytes, binaryOptions),
  *fields(desc, bytes, target) {
    for (const { field, bytes: all, content } of binaryFields(desc, bytes)) {
      if (field === undefined) continue;
      if (content !== undefined && isMessageField(field)) yield { field, source: content };
      else mergeFromBinary(desc, target, all, binaryOptions);
    }
  },
  nameOf(desc, bytes) {
    const name = desc.fields.find((field) => field.name === "name");
    if (name === undefined) return "";
    try {
      for (const { field, content } of binaryFields(desc, bytes)) {
        if (field === name && content !== undefined) return new TextDecoder().decode(content);
      }
    } catch {
      // What is broken before its name has none to show.
    }
    return "";
  },
};

/** The fields as they stand in the bytes; `content` where they have a length of their own. */
function* binaryFields(desc: DescMessage, bytes: Uint8Array) {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const contentStart = reader.pos;
    reader.skip(wireType, number);
    const field = desc.fields.find((one) => one.number === number);
    let content: Uint8Array | undefined;
    if (wireType === WireType.LengthDelimited) {
      const length = new BinaryReader(bytes.subarray(contentStart, reader.pos));
      content = length.bytes();
    }
    yield { field, bytes: bytes.subarray(start, reader.pos), content };
  }
}
