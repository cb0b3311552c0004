/**
 * Who sent telemetry: resources and scopes, each kept once however often it is sent, and the
 * table of services.
 *
 * @module
 */
import type { ServiceRow } from "../page_api/api.ts";
import type { InstrumentationScope } from "../../service/otlp/proto/gen/common_pb.ts";
import type { Resource } from "../../service/otlp/proto/gen/resource_pb.ts";
import { attribute, type AttributeReader, plainValue, type StoredAttributes } from "./values.ts";

/** A resource: a program, more or less. */
export interface Source {
  /** `service.name`, or `unknown_service` as the specification says. */
  readonly service: string;
  /** `service.instance.id`, if it is a string. */
  readonly instance: string | undefined;
  /** All attributes but `service.name`. */
  readonly attributes: StoredAttributes;
  /** The same for equal resources. */
  readonly key: string;
}

/** An instrumentation scope. */
export interface Scope {
  readonly name: string;
  readonly version: string;
  /** @default none */
  readonly attributes?: StoredAttributes;
  /** Of the scope's telemetry; its resource's where it has none of its own. @default unknown */
  readonly schemaUrl?: string;
  /** The same for equal scopes. @default name and version */
  readonly key?: string;
}

const maxKept = 2_000;
const noAttributes: StoredAttributes = [];

/** Makes sources and scopes; equal ones are the same object while among the last 2,000. */
export class SourceReader {
  #reader: AttributeReader;
  #sources = new Map<string, Source>();
  #scopes = new Map<string, Scope>();

  constructor(reader: AttributeReader) {
    this.#reader = reader;
  }

  /** The source of a resource. */
  source(resource: Resource | undefined): Source {
    const attributes = this.#reader.attributes(resource?.attributes ?? []);
    const name = attribute(attributes, "service.name");
    const service = typeof name === "string" && name !== "" ? name : "unknown_service";
    const key = JSON.stringify([service, ...attributes.map((value) => plainValue(value))]);
    return keepOne(this.#sources, key, () => {
      const instance = attribute(attributes, "service.instance.id");
      return {
        service,
        instance: typeof instance === "string" ? instance : undefined,
        attributes: withoutKey(attributes, "service.name"),
        key,
      };
    });
  }

  /** The scope of a message, and the schema that it is written by. */
  scope(scope: InstrumentationScope | undefined, sentSchemaUrl = ""): Scope {
    const name = this.#reader.text(scope?.name ?? "");
    const version = this.#reader.text(scope?.version ?? "");
    const schemaUrl = this.#reader.text(sentSchemaUrl);
    const attributes = scope === undefined || scope.attributes.length === 0
      ? noAttributes
      : this.#reader.attributes(scope.attributes);
    const key = attributes.length === 0
      ? `${name}\0${version}\0${schemaUrl}`
      : JSON.stringify([name, version, schemaUrl, ...attributes.map((one) => plainValue(one))]);
    return keepOne(this.#scopes, key, () => ({
      name,
      version,
      ...(attributes.length > 0 && { attributes }),
      ...(schemaUrl !== "" && { schemaUrl }),
      key,
    }));
  }
}

function keepOne<Item>(kept: Map<string, Item>, key: string, make: () => Item): Item {
  const known = kept.get(key);
  if (known !== undefined) return known;
  if (kept.size >= maxKept) kept.delete(kept.keys().next().value!);
  const item = make();
  kept.set(key, item);
  return item;
}

function withoutKey(attributes: StoredAttributes, key: string): StoredAttributes {
  const kept: StoredAttributes = [];
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i] !== key) kept.push(attributes[i]!, attributes[i + 1]!);
  }
  return kept;
}

const maxOperationsPerService = 500;

/** A service and the names of its spans. */
export interface ServiceEntry extends ServiceRow {
  /** Span kinds by span name, at most 500 names: those seen first. */
  readonly operations: Map<string, number>;
}

/** The services seen, with what they sent; when there are too many, the one silent for longest goes. */
export class ServiceTable {
  // In order of last sight: a row that is seen is put behind all others.
  #services = new Map<string, ServiceEntry>();
  #max: number;
  /** Grows with every change. */
  version = 0;

  constructor(maxServices: number) {
    this.#max = maxServices;
  }

  /** The row of a service that has just sent something. */
  seen(name: string, nowMs: number): ServiceEntry {
    this.version++;
    let row = this.#services.get(name);
    if (row === undefined) {
      if (this.#services.size >= this.#max) {
        this.#services.delete(this.#services.keys().next().value!);
      }
      row = {
        ...{ name, spans: 0, errors: 0, logs: 0, firstSeenMs: nowMs, lastSeenMs: nowMs },
        operations: new Map(),
      };
    } else {
      row.lastSeenMs = nowMs;
      this.#services.delete(name);
    }
    this.#services.set(name, row);
    return row;
  }

  /** The row of a service, if it is known. */
  get(name: string): ServiceEntry | undefined {
    return this.#services.get(name);
  }

  /** All rows, sorted by name. */
  rows(): ServiceRow[] {
    return [...this.#services.values()]
      .map(({ operations: _, ...row }) => row)
      .sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** Forgets all services. */
  clear(): void {
    this.#services.clear();
    this.version++;
  }
}

/** Counts a span's name for its service. */
export function addOperation(service: ServiceEntry, name: string, kind: number): void {
  if (service.operations.has(name) || service.operations.size >= maxOperationsPerService) return;
  service.operations.set(name, kind);
}
