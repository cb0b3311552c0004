/**
 * Spans or log records that wait to be sent, in two forms: as the bytes of OTLP's protobuf, written
 * the moment a record is handed in, or as they are, for JSON.
 *
 * @module
 */
import type { Resource } from "@opentelemetry/resources";
import { type Scope, writeResource, writeSchemaUrl, writeScope } from "./otlp_encoder.ts";
import { ProtobufWriter } from "./protobuf_writer.ts";

/** What a batch can hold. */
export interface ScopedRecord {
  readonly resource: Resource;
  readonly instrumentationScope: Scope;
}

/** A whole `Export…ServiceRequest`, ready to be sent. */
export interface EncodedRequest {
  readonly bytes: Uint8Array;
  /** Records in it. */
  readonly count: number;
}

/** Gathers records. */
export interface Batch<Item> {
  /** Records in it. */
  readonly count: number;
  /** Bytes they take, as far as they are known. */
  readonly byteLength: number;
  /** Takes a record in. When it throws, the batch is as it was. */
  add(record: Item): void;
  /** Takes all records out. When it throws, they are lost. */
  take(): EncodedRequest;
}

/** Field 1 (the resource, the scope) and field 2 (the scopes, the records) at every level, as tags. */
const firstTag = 0x0a;
const secondTag = 0x12;
/** A writer whose buffer has become larger than this is not used again. */
const maxKeptBytes = 4 * 1_024 ** 2;

/** Protobuf. All records are of one resource, the program. */
export class ProtobufBatch<Item extends ScopedRecord> implements Batch<Item> {
  readonly #write: (writer: ProtobufWriter, record: Item) => void;
  /** Records of one scope lie together. */
  readonly #scopes = new Map<Scope, ProtobufWriter>();
  #spareWriters: ProtobufWriter[] = [];
  #resource: Resource | undefined;
  #count = 0;
  #byteLength = 0;

  /** @param write writes a record's fields */
  constructor(write: (writer: ProtobufWriter, record: Item) => void) {
    this.#write = write;
  }

  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  add(record: Item): void {
    const writer = this.#writerOf(record.instrumentationScope);
    const before = writer.position;
    try {
      writer.tag(secondTag);
      const start = writer.beginMessage();
      this.#write(writer, record);
      writer.endMessage(start);
    } catch (error) {
      writer.position = before;
      throw error;
    }
    this.#resource ??= record.resource;
    this.#byteLength += writer.position - before;
    this.#count++;
  }

  #writerOf(scope: Scope): ProtobufWriter {
    let writer = this.#scopes.get(scope);
    if (writer === undefined) {
      writer = this.#newWriter();
      this.#scopes.set(scope, writer);
    }
    return writer;
  }

  take(): EncodedRequest {
    const writer = this.#newWriter();
    writer.tag(firstTag);
    const start = writer.beginMessage();
    this.#writeResourceAndScopes(writer);
    writer.endMessage(start);
    const request = { bytes: writer.bytes().slice(), count: this.#count };
    this.#giveBack(writer);
    this.#count = 0;
    this.#byteLength = 0;
    return request;
  }

  #writeResourceAndScopes(writer: ProtobufWriter): void {
    const resource = this.#resource;
    if (resource === undefined) return;
    writer.tag(firstTag);
    const resourceStart = writer.beginMessage();
    writeResource(writer, resource);
    writer.endMessage(resourceStart);
    for (const [scope, records] of this.#scopes) {
      writer.tag(secondTag);
      const scopeStart = writer.beginMessage();
      writer.tag(firstTag);
      const nameStart = writer.beginMessage();
      writeScope(writer, scope);
      writer.endMessage(nameStart);
      writer.raw(records.bytes());
      writeSchemaUrl(writer, scope.schemaUrl);
      writer.endMessage(scopeStart);
      this.#giveBack(records);
    }
    this.#scopes.clear();
    writeSchemaUrl(writer, resource.schemaUrl);
  }

  #newWriter(): ProtobufWriter {
    return this.#spareWriters.pop() ?? new ProtobufWriter();
  }

  #giveBack(writer: ProtobufWriter): void {
    writer.position = 0;
    if (writer.capacity <= maxKeptBytes) this.#spareWriters.push(writer);
  }
}

/** JSON, by the SDK's own serializer. */
export class JsonBatch<Item> implements Batch<Item> {
  readonly #serialize: (records: Item[]) => Uint8Array | undefined;
  #records: Item[] = [];

  /** @param serialize makes a request of records */
  constructor(serialize: (records: Item[]) => Uint8Array | undefined) {
    this.#serialize = serialize;
  }

  get count(): number {
    return this.#records.length;
  }

  /** Not known before they are text. */
  get byteLength(): number {
    return 0;
  }

  add(record: Item): void {
    this.#records.push(record);
  }

  take(): EncodedRequest {
    const records = this.#records;
    this.#records = [];
    return { bytes: this.#serialize(records) ?? new Uint8Array(), count: records.length };
  }
}
